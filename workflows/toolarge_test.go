package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// breaksWith lets a plan have a text of the bot break.
func breaksWith(text string) func(*bot.Plan) {
	return func(p *bot.Plan) { p.BotBreak = bot.Texts{"default": text} }
}

// TestConversation_LongBotBreak: a text that users read is not bounded, what a run keeps of it is.
func TestConversation_LongBotBreak(t *testing.T) {
	t.Parallel()
	const failed, most = 20, 1000
	text := "a" + strings.Repeat("é", 100<<10)
	converse := func(t *testing.T, s step.State) *world {
		t.Helper()
		w := newWorld(t)
		w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
			return step.WebhookResult{}, fail(in, fault.BadResponse, 0)
		}
		for n := range failed {
			w.send(time.Duration(n+1)*time.Minute, requested(fmt.Sprint("e", n), plan(breaksWith(text))))
		}
		w.send((failed+1)*time.Minute, ended("end", ""))
		w.converse(t, s)
		require.Equal(t, text, w.replied(t, 0).Messages[0].Text, "the user reads all of it")
		require.LessOrEqual(t, len(w.results["e0"].UserText), most)
		return w
	}
	requireCut := func(t *testing.T, of any, steps []step.Recent) {
		t.Helper()
		raw, err := schemas.Marshal(of)
		require.NoError(t, err)
		require.Less(t, len(raw), 1<<20)
		require.Len(t, steps, 10)
		for _, s := range steps {
			require.True(t, utf8.ValidString(s.UserText))
			require.Equal(t, text[:most-1], s.UserText)
		}
	}
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		s := newState()
		s.EventsPerRun = failed
		next := carried(t, converse(t, s))
		requireCut(t, next, next.Recent)
		requireCut(t, next, next.Failures)
	})
	t.Run("result", func(t *testing.T) {
		t.Parallel()
		got := closedResult(t, converse(t, newState()))
		requireCut(t, got, got.Failures)
	})
	t.Run("kept whole by an earlier release", func(t *testing.T) {
		t.Parallel()
		s := newState()
		s.EventsPerRun = 1
		for range 10 {
			s.Recent = append(s.Recent, step.Recent{Step: "ORDER_STATUS", UserText: text})
		}
		s.Failures = append(s.Failures, s.Recent...)
		w := newWorld(t)
		w.send(time.Minute, collected("e1", "size"))
		w.converse(t, s)
		next := carried(t, w)
		requireCut(t, next, next.Recent)
		requireCut(t, next, next.Failures)
	})
}

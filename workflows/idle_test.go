package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// When a conversation is idle, from step.FormatIdleAfterStep on.

// published returns when the n-th reply (from 0) was published, which must be of a type.
func (w *world) published(t *testing.T, n int, replyType string) time.Time {
	t.Helper()
	require.Greater(t, len(w.replies), n, "replies: %v", w.types())
	require.Equal(t, replyType, w.replies[n].Type)
	return w.replies[n].Time
}

// TestIdle_AfterALongStep: a step that takes longer than the idle timeout leaves its conversation open for the whole of it.
// An event begins the time again. In runs of earlier formats the conversation is closed with the reply.
func TestIdle_AfterALongStep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format step.Format
		next   time.Duration // an event, since the run began; 0 = none
		idle   time.Duration // from the reply to the close
	}{
		"no event":       {step.FormatIdleAfterStep, 0, idle},
		"event":          {step.FormatIdleAfterStep, 52 * time.Hour, idle + 2*time.Hour},
		"earlier format": {step.FormatKeepsAccepted, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = promise
			w.send(time.Second, requested("e1", plan(callsBack, within(72*time.Hour))))
			w.callBack(50*time.Hour, "callback", "e1", `"done"`)
			if c.next > 0 {
				w.send(c.next, collected("e2", "size"))
			}
			w.converse(t, stateOf(c.format))
			require.Equal(t, "done", w.replied(t, 0).Messages[0].Text)
			replied, closed := w.published(t, 0, schemas.TypeStepReplied), w.published(t, 1, schemas.TypeConversationClosed)
			require.WithinDuration(t, replied.Add(c.idle), closed, time.Minute)
			require.Equal(t, schemas.ClosedIdle, closedResult(t, w).Reason)
		})
	}
}

// TestIdle_AfterALateAnswer: an answer that comes after the reply, and longer after it than the idle timeout, leaves the
// conversation open.
func TestIdle_AfterALateAnswer(t *testing.T) {
	t.Parallel()
	for format, want := range map[step.Format]time.Duration{step.FormatIdleAfterStep: time.Hour, step.FormatKeepsAccepted: 0} {
		w := newWorld(t)
		w.slow(5 * time.Hour)
		lasts := func(p *bot.Plan) { p.Webhook.AttemptTimeout = bot.Duration(6 * time.Hour) }
		w.send(time.Second, requested("e1", plan(within(time.Minute), publishLate, lasts)))
		s := stateOf(format)
		s.IdleTimeout = bot.Duration(time.Hour)
		w.converse(t, s)
		late, closed := w.published(t, 1, schemas.TypeStepLate), w.published(t, 2, schemas.TypeConversationClosed)
		require.WithinDuration(t, late.Add(want), closed, time.Minute, format)
	}
}

// TestIdle_StepsCostNoTimer: the timer of a run stays until it fires, and is then set for what is left, however many steps
// there were.
func TestIdle_StepsCostNoTimer(t *testing.T) {
	t.Parallel()
	for _, format := range []step.Format{step.FormatKeepsAccepted, step.FormatIdleAfterStep} {
		w := newWorld(t)
		timers := 0
		w.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
		for n := range 10 {
			w.send(time.Duration(n+1)*10*time.Minute, requested(fmt.Sprint("e", n), plan()))
		}
		w.converse(t, stateOf(format))
		require.Len(t, w.replies, 11)
		closed := w.published(t, 10, schemas.TypeConversationClosed)
		require.WithinDuration(t, w.published(t, 9, schemas.TypeStepReplied).Add(idle), closed, time.Minute)
		require.Equal(t, 2, timers, "format %d", format)
	}
}

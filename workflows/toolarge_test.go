package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// messageMax makes publishing fail for what no message can hold.
func messageMax(_ int, in step.PublishInput) error {
	if text, err := schemas.Marshal(in.Reply); err != nil || len(text) > schemas.MessageMax {
		return temporal.NewNonRetryableApplicationError("too large", string(fault.TooLarge), nil)
	}
	return nil
}

// breaksWith lets a plan have a text of the bot break.
func breaksWith(text string) func(*bot.Plan) {
	return func(p *bot.Plan) { p.BotBreak = bot.Texts{"default": text} }
}

// TestConversation_LongReason: around the reason, the reply is larger than the event was.
func TestConversation_LongReason(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ reason, want string }{
		"almost a message":   {strings.Repeat("a", 1<<20-100), strings.Repeat("a", 1<<10)},
		"cut in a character": {"a" + strings.Repeat("é", 1<<10), "a" + strings.Repeat("é", 1<<9-1)},
		"as long as it is":   {strings.Repeat("a", 1<<10), strings.Repeat("a", 1<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.refuse = messageMax
			w.send(time.Second, ended("e1", c.reason))
			w.converse(t, newState())
			require.Equal(t, []string{"conversation.closed"}, w.types())
			var closed schemas.ConversationClosed
			require.NoError(t, json.Unmarshal(w.replies[0].Data, &closed))
			require.Equal(t, c.want, closed.Reason)
			require.Equal(t, c.want, w.results["e1"].Closed)
			require.Equal(t, c.want, closedResult(t, w).Reason)
		})
	}
}

// late decodes a reply as step.late.
func late(t *testing.T, r schemas.Reply) (data schemas.StepReplied) {
	t.Helper()
	require.Equal(t, schemas.TypeStepLate, r.Type)
	require.NoError(t, json.Unmarshal(r.Data, &data))
	return data
}

// TestLatency_LateAnswerTooLarge: the answer may be as large as a message, and its reply is larger.
func TestLatency_LateAnswerTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(14 * time.Second)
	w.refuse = messageMax
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return succeed(in, strings.Repeat("a", 1<<20-100)), nil
	}
	w.send(time.Second, requested("e1", plan(within(10*time.Second), publishLate)))
	w.send(2*time.Second, ended("e2", "left"))
	w.converse(t, newState())
	require.Equal(t, []string{"step.replied", "conversation.closed", "step.late"}, w.types())
	got := late(t, w.replies[2])
	require.Equal(t, "e1", got.EventID)
	require.Equal(t, schemas.OutcomeFailure, got.Outcome)
	require.Equal(t, "too_large", got.Error.Kind)
	require.Len(t, got.Attempts, 1)
}

// TestQueue_LateAnswerTooLarge: a background step has no content but its attempts.
func TestQueue_LateAnswerTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse = messageMax
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "not evaluated")
		r.Attempts[0].URL = strings.Repeat("a", 1<<20-100)
		return r, nil
	}
	in := step.WebhookInput{Plan: *plan(background), Event: requested("e1", plan()).Event}
	w.queue = append(w.queue, step.Queued{Conversation: "c-1", Webhook: in})
	w.ExecuteWorkflow(step.WorkflowQueue, step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY"})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"step.late"}, w.types())
	got := late(t, w.replies[0])
	require.Equal(t, "e1", got.EventID)
	require.Equal(t, schemas.OutcomeSuccess, got.Outcome)
	require.Empty(t, got.Attempts)
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

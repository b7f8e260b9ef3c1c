package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestWebhook_RetriesAreNumberedOnward(t *testing.T) {
	t.Parallel()
	for name, execution := range map[string]string{"first attempt local": "", "all attempts normal": bot.ExecutionActivity} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var seen step.Progress
			w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if len(in.Progress.Attempts) == 0 && n > 1 {
					in.Progress = seen // what a retried activity reads from its heartbeat
				}
				if n < 3 {
					err := fail(in, fault.Connect, 300*time.Millisecond)
					var app *temporal.ApplicationError
					require.ErrorAs(t, err, &app)
					require.NoError(t, app.Details(&seen))
					return step.WebhookResult{}, err
				}
				return succeed(step.WebhookInput{Progress: seen}, "third time"), nil
			}
			w.send(time.Second, requested("e1", plan(func(p *bot.Plan) { p.Webhook.Execution = execution })))
			w.converse(t, newState())
			r := w.replied(t, 0)
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
			require.Len(t, r.Attempts, 3)
			for i, a := range r.Attempts {
				require.Equal(t, i+1, a.N)
			}
		})
	}
}

func TestWebhook_FinalFailureMakesNoSecondCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return step.WebhookResult{}, fail(in, fault.Redirect, 0)
	}
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.Len(t, w.calls, 1)
	require.Equal(t, "redirect", w.replied(t, 0).Error.Kind)
}

func TestWebhook_AttemptsShareOneDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return step.WebhookResult{}, fail(in, fault.Timeout, time.Second)
	}
	short := func(p *bot.Plan) { p.Webhook.Timeout = bot.Duration(1500 * time.Millisecond) }
	w.send(time.Second, requested("e1", plan(short)))
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
	require.NotEmpty(t, r.Attempts)
	for _, call := range w.calls {
		require.Equal(t, w.calls[0].Deadline, call.Deadline)
	}
}

func TestReply_WaitsForNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := 0
	w.refuse = func(int, step.PublishInput) error {
		if refused++; refused < 5 {
			return temporal.NewApplicationError("away", string(fault.Internal))
		}
		return nil
	}
	w.send(1*time.Second, requested("e1", plan()))
	w.send(2*time.Second, requested("e2", plan()))
	w.converse(t, newState())
	require.Equal(t, "e1", w.replied(t, 0).EventID, "a reply that cannot be published keeps later ones behind it")
	require.Equal(t, "e2", w.replied(t, 1).EventID)
}

// TestCallWebhook_ReplyGoesOutOnce: the attempt that has the answer is asked to publish the reply, and what it has published
// the workflow does not. An activity of a step with a progress message leaves the reply to the workflow, which keeps their order.
func TestCallWebhook_ReplyGoesOutOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 2 {
			return step.WebhookResult{}, fail(in, fault.Timeout, time.Second)
		}
		result := succeed(in, "hello")
		if in.Reply {
			result.ReplyID = "published by the activity"
		}
		return result, nil
	}
	withProgress := func(p *bot.Plan) { byActivity(p); p.Webhook.ProgressAfter = bot.Duration(5 * time.Second) }
	w.send(1*time.Minute, requested("e1", plan()))
	w.send(2*time.Minute, requested("e2", plan()))
	w.send(5*time.Minute, requested("e3", plan(endStep, withProgress)))
	w.converse(t, newState())
	for _, published := range []string{"e1", "e2"} {
		require.Equal(t, "published by the activity", w.results[published].ReplyID)
		require.Equal(t, schemas.OutcomeSuccess, w.results[published].Outcome)
	}
	require.Equal(t, []string{"step.replied", "conversation.closed"}, w.types())
	require.Equal(t, "e3", w.replied(t, 0).EventID)
	require.Equal(t, w.replies[0].ID, w.results["e3"].ReplyID)
}

func TestReply_OversizedIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse = func(_ int, in step.PublishInput) error {
		if len(in.Reply.Data) > 1000 {
			return temporal.NewNonRetryableApplicationError("too large", string(fault.TooLarge), nil)
		}
		return nil
	}
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return succeed(in, string(make([]byte, 2000))), nil
	}
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, "e1", r.EventID)
	require.Equal(t, schemas.OutcomeFailure, r.Outcome)
	require.Equal(t, "too_large", r.Error.Kind)
}

func TestWebhook_PanickingActivityIsABotBreak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(int, step.WebhookInput) (step.WebhookResult, error) { return step.WebhookResult{}, errAway }
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.Equal(t, "internal", w.replied(t, 0).Error.Kind)
}

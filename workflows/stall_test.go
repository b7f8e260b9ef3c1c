package workflows_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestCallWebhook_SlowEndpoint: a first attempt that asks to run as an activity is run as one, and is still the first.
func TestCallWebhook_SlowEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{AsActivity: true, HeartbeatTimeout: 7 * time.Second}, nil
		}
		return succeed(in, "hello"), nil
	}
	var heartbeat time.Duration
	w.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name == step.ActivityWebhook {
			heartbeat = info.HeartbeatTimeout
		}
	})
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.Equal(t, 7*time.Second, heartbeat, "the worker of the first attempt decides")
	require.Len(t, w.calls, 2)
	require.True(t, w.calls[0].Reply)
	require.True(t, w.calls[1].Reply)
	require.Empty(t, w.calls[1].Progress.Attempts)
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Len(t, r.Attempts, 1)
}

// TestCallWebhook_PassesTimeLeft: an activity measures the step's time from its own start, so it receives a duration.
func TestCallWebhook_PassesTimeLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{}, fail(in, fault.Connect, 10*time.Second)
		}
		return succeed(in, "hello"), nil
	}
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.Len(t, w.calls, 2)
	require.Equal(t, 30*time.Second, w.calls[0].Left)
	require.Equal(t, 20*time.Second, w.calls[1].Left)
	require.Equal(t, w.calls[0].Accepted, w.calls[1].Accepted)
	require.Equal(t, 30*time.Second, w.calls[0].Deadline.Sub(w.calls[0].Accepted))
}

// TestPublish_DoesNotGiveUp: NATS may be away for longer than any number of tries.
func TestPublish_DoesNotGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := 0
	w.refuse = func(int, step.PublishInput) error {
		if refused++; refused <= 20 {
			return temporal.NewApplicationError("away", string(fault.Internal))
		}
		return nil
	}
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.Equal(t, "e1", w.replied(t, 0).EventID)
	require.Equal(t, 22, refused, "twenty tries failed, one succeeded, and the closing of the conversation needed one")
}

// TestProgress_NeverAfterTheReply: the reply waits for a progress message that is on its way, however long that takes.
func TestProgress_NeverAfterTheReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(5500 * time.Millisecond)
	refused := 0
	w.refuse = func(_ int, in step.PublishInput) error {
		if in.Reply.Type != schemas.TypeStepProgress {
			return nil
		}
		if refused++; refused <= 2 {
			return temporal.NewApplicationError("away", string(fault.Internal))
		}
		return nil
	}
	w.send(time.Second, requested("e1", plan(progressAfter(5*time.Second), byActivity)))
	w.converse(t, newState())
	require.Equal(t, 3, refused)
	require.Equal(t, []string{"step.progress", "step.replied", "conversation.closed"}, w.types())
}

// TestPublish_AdoptsWhatTheEngineHasRead: a worker that was taken for lost has published the end of the step first. That is
// what the run goes on with.
func TestPublish_AdoptsWhatTheEngineHasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read := schemas.StepReplied{
		EventID: "e1", Step: "ORDER_STATUS", Outcome: schemas.OutcomeSuccess, Conversation: schemas.ConversationOpen,
		ConversationDetails: json.RawMessage(`{"order":"A12"}`), Variables: map[string]*string{"size": new(string)},
	}
	*read.Variables["size"] = "43"
	w.stored = map[string]schemas.StepReplied{
		schemas.ReplyID(newState().ConversationKey, "e1", schemas.TypeStepReplied): read,
	}
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{}, fail(in, fault.Status, 0)
		}
		return succeed(in, "hello"), nil
	}
	w.send(1*time.Minute, requested("e1", plan()))
	w.send(2*time.Minute, requested("e2", plan()))
	w.converse(t, newState())
	require.Equal(t, schemas.OutcomeSuccess, w.results["e1"].Outcome)
	require.JSONEq(t, `{"order":"A12"}`, string(w.calls[1].ConversationDetails))
	require.Equal(t, map[string]string{"size": "43"}, w.calls[1].Variables)
}

// TestPublish_DropsAnAnswerThatWasNotRead: the engine has read the reply of another attempt, so nothing of this attempt's answer
// becomes part of the conversation, and the user's details that it wrote are undone.
func TestPublish_DropsAnAnswerThatWasNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored = map[string]schemas.StepReplied{
		schemas.ReplyID(newState().ConversationKey, "e1", schemas.TypeStepReplied): {
			EventID: "e1", Step: "ORDER_STATUS", Outcome: schemas.OutcomeSuccess, Conversation: schemas.ConversationOpen,
		},
	}
	wrote := step.NewUserWrite("91", json.RawMessage(`{"city":"Delft"}`), nil)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "hello")
		if n == 1 {
			size := "42"
			r.ReplyID, r.Wrote = "", wrote
			r.ConversationDetails, r.Variables = json.RawMessage(`{"order":"B7"}`), map[string]*string{"size": &size}
		}
		return r, nil
	}
	w.send(1*time.Minute, requested("e1", plan()))
	w.send(2*time.Minute, requested("e2", plan()))
	w.converse(t, newState())
	require.Empty(t, w.calls[1].ConversationDetails)
	require.Empty(t, w.calls[1].Variables)
	require.Equal(t, []*step.UserWrite{wrote}, w.undone)
}

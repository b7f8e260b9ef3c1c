package workflows_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func background(p *bot.Plan) { p.Webhook.Mode = bot.ModeBackground }

func TestQueue_StepIsAcceptedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := requested("e1", plan(background))
	until := time.Now().Add(time.Hour).UTC()
	d.UsefulUntil = &until
	w.send(time.Second, d)
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeAccepted, r.Outcome)
	require.Empty(t, w.calls, "the queue calls, not the conversation")
	require.Len(t, w.queue, 1)
	require.Equal(t, "c-42", w.queue[0].Conversation)
	require.Equal(t, "e1", w.queue[0].Webhook.Event.ID)
	require.Equal(t, &until, w.queue[0].Webhook.UsefulUntil, "no request is made after it")
}

func TestQueue_Full(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full = temporal.NewApplicationErrorWithOptions("the queue is full", string(fault.QueueFull),
		temporal.ApplicationErrorOptions{NonRetryable: true})
	w.send(time.Second, requested("e1", plan(background)))
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeFailure, r.Outcome)
	require.Equal(t, &schemas.Error{Kind: "queue_full", Message: "the queue is full"}, r.Error)
}

func TestQueue_WorkedOffInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		in := step.WebhookInput{Plan: *plan(background), Event: requested(fmt.Sprint("e", i), plan()).Event}
		w.queue = append(w.queue, step.Queued{Conversation: fmt.Sprint("c", i), Webhook: in})
	}
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		if in.Event.ID == "e2" {
			return step.WebhookResult{}, fail(in, fault.Status, 0)
		}
		return succeed(in, "not evaluated"), nil
	}
	w.ExecuteWorkflow(step.WorkflowQueue, step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY"})
	require.NoError(t, w.GetWorkflowError())
	require.Empty(t, w.queue)
	require.Equal(t, 1, w.overlap)
	require.Len(t, w.replies, 5)
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	require.Equal(t, step.QueueEntry{BotID: shop, Step: "NOTIFY", ID: "id of e4"}, w.done[4])
	for i, reply := range w.replies {
		require.Equal(t, schemas.TypeStepLate, reply.Type)
		require.Equal(t, fmt.Sprint("c", i), reply.Subject)
		var late schemas.StepReplied
		require.NoError(t, json.Unmarshal(reply.Data, &late))
		require.Equal(t, fmt.Sprint("e", i), late.EventID)
		require.Empty(t, late.Messages, "no answer is evaluated")
		want := schemas.OutcomeSuccess
		if i == 2 {
			want = schemas.OutcomeFailure
			require.Equal(t, "status", late.Error.Kind)
		}
		require.Equal(t, want, late.Outcome)
	}
}

// TestQueue_EndpointPaused: steps wait for as long as their endpoint is paused, in order, however short their timeout is.
func TestQueue_EndpointPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		in := step.WebhookInput{Plan: *plan(background), Event: requested(fmt.Sprint("e", i), plan()).Event}
		w.queue = append(w.queue, step.Queued{Conversation: "c-1", Webhook: in})
	}
	const denied = 9 // the environment makes ten tries at most
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n <= denied {
			p := step.Progress{Held: true, RetryIn: time.Minute, Fault: fault.New(fault.RateLimited, "paused")}
			return step.WebhookResult{}, temporal.NewApplicationErrorWithOptions("paused", string(fault.RateLimited),
				temporal.ApplicationErrorOptions{NextRetryDelay: p.RetryIn, Details: []any{p}})
		}
		return succeed(in, ""), nil
	}
	began := w.Now()
	w.ExecuteWorkflow(step.WorkflowQueue, step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY"})
	require.NoError(t, w.GetWorkflowError())
	require.GreaterOrEqual(t, w.Now().Sub(began), denied*time.Minute)
	require.Len(t, w.calls, denied+3)
	require.Len(t, w.replies, 3)
	for i, reply := range w.replies {
		var late schemas.StepReplied
		require.NoError(t, json.Unmarshal(reply.Data, &late))
		require.Equal(t, fmt.Sprint("e", i), late.EventID)
		require.Equal(t, schemas.OutcomeSuccess, late.Outcome)
	}
}

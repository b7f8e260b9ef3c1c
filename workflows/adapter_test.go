package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func adapter(name string) *bot.Plan {
	return plan(func(p *bot.Plan) {
		p.Step, p.Dialect, p.OnFailure = name, bot.DialectTwoWay, bot.OnFailureUndelivered
		p.Adapter = &bot.Adapter{Name: name}
	})
}

// toAdapter is an event that goes to one adapter, or to another once the chat was handed over to it.
func toAdapter(id, eventType string, p *bot.Plan, others ...*bot.Plan) step.Delivery {
	d := step.Delivery{Event: event(id, eventType, schemas.EventData{}), Plan: p}
	for _, other := range append(others, p) {
		if d.Adapters == nil {
			d.Adapters = map[string]bot.Plan{}
		}
		d.Adapters[other.Step] = *other
	}
	return d
}

func TestHandover_LaterMessagesGoToTheAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const message = schemas.TypeMessageReceived
	w.send(1*time.Minute, toAdapter("m1", message, adapter("robot"), adapter("agents")))
	w.send(2*time.Minute, toAdapter("h1", schemas.TypeConversationHandover, adapter("agents")))
	w.send(3*time.Minute, toAdapter("m2", message, adapter("robot"), adapter("agents")))
	w.send(4*time.Minute, ended("e1", ""))
	w.converse(t, newState())
	var called []string
	for _, call := range w.calls {
		called = append(called, call.Plan.Adapter.Name)
	}
	require.Equal(t, []string{"robot", "agents", "agents"}, called)
	handover := w.replied(t, 1)
	require.Equal(t, schemas.OutcomeDelivered, handover.Outcome)
	require.Equal(t, schemas.ConversationHandover, handover.Conversation)
	require.Equal(t, "agents", handover.Step)
}

func TestHandover_FailureChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{}, fail(in, fault.Gone, 0)
		}
		return succeed(in, ""), nil
	}
	w.send(1*time.Minute, toAdapter("h1", schemas.TypeConversationHandover, adapter("agents")))
	w.send(2*time.Minute, toAdapter("m1", schemas.TypeMessageReceived, adapter("robot"), adapter("agents")))
	w.converse(t, newState())
	require.Equal(t, schemas.OutcomeUndelivered, w.replied(t, 0).Outcome)
	require.Equal(t, "robot", w.calls[1].Plan.Adapter.Name)
}

func TestConversation_MessageLeavesAWaitingStepAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(1*time.Minute, requested("e1", plan(requires("product"))))
	w.send(2*time.Minute, toAdapter("m1", schemas.TypeMessageReceived, adapter("robot")))
	w.send(3*time.Minute, collected("e2", "product"))
	w.converse(t, newState())
	require.Equal(t, []string{"step.waiting", "step.replied", "step.replied", "conversation.closed"}, w.types())
	require.Equal(t, "e1", w.replied(t, 2).EventID)
}

func TestVariables_StayForTheConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := func(s string) *string { return &s }
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "")
		if n == 1 {
			r.Variables = map[string]*string{"area": text("18"), "gone": nil}
		}
		return r, nil
	}
	first := requested("e1", plan())
	first.Event.Data.Variables = map[string]string{"length": "12", "gone": "x"}
	w.send(1*time.Minute, first)
	w.send(2*time.Minute, requested("e2", plan()))
	w.send(3*time.Minute, ended("e3", ""))
	w.converse(t, newState())
	require.Equal(t, map[string]string{"length": "12", "gone": "x"}, w.calls[0].Variables)
	require.Equal(t, map[string]string{"length": "12", "area": "18"}, w.calls[1].Variables)
	require.Equal(t, text("18"), w.replied(t, 0).Variables["area"])
}

func TestVariables_TooManyAreRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	huge := string(make([]byte, 129<<10))
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "hello")
		r.Variables = map[string]*string{"huge": &huge}
		return r, nil
	}
	w.send(1*time.Minute, requested("e1", plan()))
	bad := requested("e2", plan())
	bad.Event.Data.Variables = map[string]string{"huge": huge}
	w.send(2*time.Minute, bad)
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Equal(t, "too_large", r.Error.Kind)
	require.Empty(t, r.Variables)
	require.Equal(t, "hello", r.Messages[0].Text)
	require.Equal(t, schemas.OutcomeRejected, w.replied(t, 1).Outcome)
}

func TestConversation_AnswerMayEndIt(t *testing.T) {
	t.Parallel()
	for said, reason := range map[string]string{"complete": "completed", "handover": "handover"} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				r := succeed(in, "bye")
				r.Conversation = said
				return r, nil
			}
			w.send(time.Second, requested("e1", plan()))
			w.converse(t, newState())
			require.Equal(t, said, w.replied(t, 0).Conversation)
			var closed schemas.ConversationClosed
			require.NoError(t, json.Unmarshal(w.replies[1].Data, &closed))
			require.Equal(t, reason, closed.Reason)
		})
	}
}

// TestStep_BelongsToNoSession: without an order each event of a conversation is a run of its own. Those for an adapter belong
// to no session, which would begin and end with each; a step is a round of its own.
func TestStep_BelongsToNoSession(t *testing.T) {
	t.Parallel()
	for round, d := range map[string]step.Delivery{
		"":   toAdapter("m1", schemas.TypeMessageReceived, adapter("robot")),
		"e1": requested("e1", plan()),
	} {
		w := newWorld(t)
		w.ExecuteWorkflow(step.WorkflowStep, step.Request{
			ConversationKey: newState().ConversationKey, Format: step.FormatLatest, Delivery: d,
		})
		require.NoError(t, w.GetWorkflowError())
		require.Len(t, w.calls, 1)
		require.Equal(t, round, w.calls[0].Round)
	}
}

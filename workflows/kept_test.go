package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// What runs keep of what they have accepted, from step.FormatKeepsAccepted on.

// slowReader makes each callback take a time to be read.
func (w *world) slowReader(takes time.Duration) {
	w.OnActivity(step.ActivityAnswer, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in step.AnswerInput) (step.WebhookResult, error) {
			return w.readAnswer(ctx, in)
		},
	).After(takes)
}

// TestCallback_EndsItsStep: the endpoint has read 202 for its callback, so that is the end of the step, whatever becomes of
// the attempt that carried the address.
func TestCallback_EndsItsStep(t *testing.T) {
	t.Parallel()
	const called, read = 3 * time.Second, 2 * time.Second // since the step began: the callback, and how long it is read
	fails := func(retryIn time.Duration) func(int, step.WebhookInput) (step.WebhookResult, error) {
		return func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
			return step.WebhookResult{}, fail(in, fault.Status, retryIn)
		}
	}
	for name, c := range map[string]struct {
		answer func(n int, in step.WebhookInput) (step.WebhookResult, error)
		takes  time.Duration // of an attempt
		plan   func(*bot.Plan)
		cancel time.Duration // of the run, since the step began; 0 = never
		calls  int           // the environment makes none that is cancelled
	}{
		"called back, attempt fails":       {answer: fails(0), takes: 10 * time.Second, calls: 1},
		"called back, another is allowed":  {answer: fails(time.Second), takes: 10 * time.Second, calls: 1},
		"being read, attempt fails":        {answer: fails(0), takes: 4 * time.Second, calls: 1},
		"being read, another is allowed":   {answer: fails(time.Second), takes: 4 * time.Second, calls: 1},
		"waits for the next attempt":       {answer: fails(20 * time.Second), takes: time.Second, calls: 1},
		"being read when the wait is over": {answer: fails(3 * time.Second), takes: time.Second, calls: 1},
		"attempts are an activity":         {answer: fails(0), takes: 10 * time.Second, plan: byActivity, calls: 1},
		"answer would be late": {
			answer: promise, takes: 10 * time.Second, calls: 1,
			plan: func(p *bot.Plan) { publishLate(p); within(6 * time.Second)(p) },
		},
		"cancelled during the attempt":  {answer: promise, takes: 10 * time.Second, plan: byActivity, cancel: 4 * time.Second},
		"cancelled while it is awaited": {answer: promise, cancel: 4 * time.Second, calls: 1},
		"deadline while it is read":     {answer: promise, plan: within(4 * time.Second), calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			began := w.Now().Add(time.Second)
			w.slow(c.takes)
			w.slowReader(read)
			w.answer = c.answer
			p := plan(callsBack)
			if c.plan != nil {
				c.plan(p)
			}
			w.send(time.Second, requested("e1", p))
			w.callBack(time.Second+called, "callback", "e1", `"called back"`)
			if c.cancel > 0 {
				w.RegisterDelayedCallback(w.CancelWorkflow, time.Second+c.cancel)
			}
			w.converse(t, stateOf(step.FormatKeepsAccepted))
			require.NoError(t, w.callbacks["callback"])
			require.Contains(t, w.callbacks, "callback")
			r := w.replied(t, 0)
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
			require.Equal(t, "called back", r.Messages[0].Text)
			require.Len(t, w.calls, c.calls)
			require.LessOrEqual(t, w.replies[0].Time.Sub(began), max(c.takes, called+read)+10*time.Second, "nothing waits longer")
			if c.plan == nil {
				require.Len(t, r.Attempts, 1)
			}
		})
	}
}

// TestCallback_UnreadableEndsNothing: the step goes on with its attempts when what the endpoint posted cannot be read.
func TestCallback_UnreadableEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(4 * time.Second)
	w.slowReader(2 * time.Second)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{}, fail(in, fault.Status, time.Second)
		}
		return succeed(in, "second"), nil
	}
	w.send(time.Second, requested("e1", plan(callsBack)))
	w.callBack(4*time.Second, "callback", "e1", `"unreadable"`)
	w.converse(t, stateOf(step.FormatKeepsAccepted))
	requireRefused(t, w.callbacks["callback"], step.RejectedAnswer)
	require.Equal(t, "second", w.replied(t, 0).Messages[0].Text)
}

// TestCallback_AfterTheAnswer: a callback that is still being read when the endpoint answers the request itself ends nothing
// and is rejected.
func TestCallback_AfterTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(4 * time.Second)
	w.slowReader(2 * time.Second)
	w.send(time.Second, requested("e1", plan(callsBack)))
	w.callBack(4*time.Second, "callback", "e1", `"called back"`)
	w.converse(t, stateOf(step.FormatKeepsAccepted))
	require.Equal(t, "answer 1", w.replied(t, 0).Messages[0].Text)
	requireRefused(t, w.callbacks["callback"], step.RejectedCallback)
}

// TestCallback_BeforeARepeatedAttempt: an attempt that the server repeats in its activity goes on after a callback. The answer
// to the request stands; without one, the callback ends the step.
func TestCallback_BeforeARepeatedAttempt(t *testing.T) {
	t.Parallel()
	for want, second := range map[string]func(in step.WebhookInput) (step.WebhookResult, error){
		"second": func(in step.WebhookInput) (step.WebhookResult, error) { return succeed(in, "second"), nil },
		"called back": func(in step.WebhookInput) (step.WebhookResult, error) {
			return step.WebhookResult{}, fail(in, fault.Status, 0)
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.slow(2 * time.Second)
			w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if n == 1 {
					return step.WebhookResult{}, fail(in, fault.Status, 10*time.Second)
				}
				return second(in)
			}
			w.send(time.Second, requested("e1", plan(callsBack, byActivity)))
			w.callBack(5*time.Second, "callback", "e1", `"called back"`)
			w.converse(t, stateOf(step.FormatKeepsAccepted))
			require.NoError(t, w.callbacks["callback"])
			require.Len(t, w.calls, 2)
			require.Equal(t, want, w.replied(t, 0).Messages[0].Text)
		})
	}
}

// TestCallback_EarlierFormat: runs of earlier formats have the end of the attempts in their histories.
func TestCallback_EarlierFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(10 * time.Second)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return step.WebhookResult{}, fail(in, fault.Status, 0)
	}
	w.send(time.Second, requested("e1", plan(callsBack)))
	w.callBack(4*time.Second, "callback", "e1", `"called back"`)
	w.converse(t, stateOf(step.FormatScriptAttempt))
	require.NoError(t, w.callbacks["callback"])
	require.Equal(t, schemas.OutcomeBotBreak, w.replied(t, 0).Outcome)
}

// TestConversation_CancelledAnswersAll: a step that begins to wait while its cancelled run ends is answered, too.
func TestConversation_CancelledAnswersAll(t *testing.T) {
	t.Parallel()
	for format, want := range map[step.Format][]string{
		step.FormatScriptAttempt: {"e1"}, step.FormatKeepsAccepted: {"e1", "e2"},
	} {
		w := newWorld(t)
		tries := 0
		w.refuse = func(_ int, in step.PublishInput) error {
			if in.Reply.Type != schemas.TypeStepReplied {
				return nil
			}
			if tries++; tries <= 3 { // the answer to e1 takes some seconds
				return temporal.NewApplicationError("away", string(fault.Internal))
			}
			return nil
		}
		w.send(time.Second, requested("e1", plan(requires("size"))))
		w.RegisterDelayedCallback(w.CancelWorkflow, 2*time.Second)
		w.send(3*time.Second, requested("e2", plan(requires("size"))))
		w.converse(t, stateOf(format))
		require.True(t, temporal.IsCanceledError(w.GetWorkflowError()))
		var answered []string
		for _, reply := range w.replies {
			if reply.Type == schemas.TypeStepReplied {
				var r schemas.StepReplied
				require.NoError(t, json.Unmarshal(reply.Data, &r))
				require.Equal(t, "cancelled", r.Error.Kind)
				answered = append(answered, r.EventID)
			}
		}
		require.Equal(t, want, answered, format)
	}
}

// TestVisible_ContinuedRun: the search attributes of a run that continues another one hold the outcome of that one until the
// first step replaces it.
func TestVisible_ContinuedRun(t *testing.T) {
	t.Parallel()
	outcome := temporal.NewSearchAttributeKeyKeyword(step.AttributeOutcome)
	for format, want := range map[step.Format][]string{
		step.FormatScriptAttempt: {"success"}, // of the end of the run
		step.FormatKeepsAccepted: {"success"}, // of the step
	} {
		w := newWorld(t)
		require.NoError(t, w.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet("ORDER_STATUS"),
			outcome.ValueSet(string(schemas.OutcomeBotBreak)),
			temporal.NewSearchAttributeKeyInt64(step.AttributeFailures).ValueSet(1),
		)))
		var outcomes []string
		var changed []bool // the number of failures
		var at []time.Time
		w.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
			attributes := args[0].(temporal.SearchAttributes)
			value, _ := attributes.GetKeyword(outcome)
			_, failures := attributes.GetInt64(temporal.NewSearchAttributeKeyInt64(step.AttributeFailures))
			outcomes, changed, at = append(outcomes, value), append(changed, failures), append(at, w.Now())
		}).Return(nil)
		s := stateOf(format)
		s.Failed = 1
		began := w.Now()
		w.send(time.Second, requested("e1", plan()))
		w.converse(t, s)
		require.Equal(t, want, outcomes, format)
		require.Equal(t, format >= step.FormatKeepsAccepted, at[0].Sub(began) < time.Minute, format)
		require.Equal(t, format < step.FormatKeepsAccepted, changed[0], "the number of failures is the same")
	}
}

// queueOf is a background queue in the environment with some steps that a conversation has accepted.
func queueOf(w *world, n int, accepted bool) step.Queue {
	for i := range n {
		in := step.WebhookInput{Plan: *plan(background), Event: requested(fmt.Sprint("e", i), plan()).Event, Arrived: w.Now()}
		entry := step.Queued{Conversation: fmt.Sprint("c", i), Webhook: in}
		if accepted {
			entry.Workflow = schemas.WorkflowRef{ID: "conversation", RunID: "run"}
		}
		w.queue = append(w.queue, entry)
	}
	return step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY", Format: step.FormatKeepsAccepted}
}

// TestQueue_CancelledKeepsEntries: a run that is cancelled ends the request in hand; the others wait for the next run.
func TestQueue_CancelledKeepsEntries(t *testing.T) {
	t.Parallel()
	for format, left := range map[step.Format]int{step.FormatScriptAttempt: 0, step.FormatKeepsAccepted: 3} {
		w := newWorld(t)
		w.slow(10 * time.Second)
		q := queueOf(w, 5, false)
		q.Format = format
		w.RegisterDelayedCallback(w.CancelWorkflow, 15*time.Second)
		w.ExecuteWorkflow(step.WorkflowQueue, q)
		require.Equal(t, left > 0, temporal.IsCanceledError(w.GetWorkflowError()), format)
		require.Len(t, w.queue, left, format)
		require.Len(t, w.replies, 5-left)
		var late schemas.StepReplied
		require.NoError(t, json.Unmarshal(w.replies[1].Data, &late))
		require.Equal(t, "cancelled", late.Error.Kind)
	}
}

// TestQueue_CancelledBetweenSteps: a run that was cancelled before it has read the next step makes no request for it.
func TestQueue_CancelledBetweenSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := queueOf(w, 2, false)
	w.OnActivity(step.ActivityQueueHead, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in step.Queue) (step.Queued, error) { return w.queueHead(ctx, in) },
	).After(10 * time.Second)
	w.RegisterDelayedCallback(w.CancelWorkflow, 5*time.Second)
	w.ExecuteWorkflow(step.WorkflowQueue, q)
	require.True(t, temporal.IsCanceledError(w.GetWorkflowError()))
	require.Len(t, w.queue, 2)
	require.Empty(t, w.replies)
}

// TestQueue_AcceptedBeforeItsEnd: the end of a step in the background is published after its acceptance, also when the
// conversation publishes that later.
func TestQueue_AcceptedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	both := []string{"step.replied", "step.late"}
	for name, c := range map[string]struct {
		change func(*step.Queue, *step.Queued)
		want   []string
	}{
		"accepted by a conversation": {func(*step.Queue, *step.Queued) {}, both},
		"event about a session":      {func(_ *step.Queue, e *step.Queued) { e.Workflow = schemas.WorkflowRef{} }, both[1:]},
		"earlier format":             {func(q *step.Queue, _ *step.Queued) { q.Format = step.FormatScriptAttempt }, both[1:]},
		"repeated step": {func(_ *step.Queue, e *step.Queued) {
			e.Webhook.Event.Extensions = map[string]json.RawMessage{schemas.AttributeRepeatOf: json.RawMessage(`"e"`)}
		}, both[1:]},
		"reply may be deleted": {func(_ *step.Queue, e *step.Queued) {
			e.Webhook.Arrived = e.Webhook.Arrived.Add(-step.RepliesKept - time.Minute)
		}, both[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			q := queueOf(w, 1, true)
			c.change(&q, &w.queue[0])
			arrived := w.queue[0].Webhook.Arrived
			var published []step.PublishInput
			w.refuse = func(_ int, in step.PublishInput) error { published = append(published, in); return nil }
			w.ExecuteWorkflow(step.WorkflowQueue, q)
			require.NoError(t, w.GetWorkflowError())
			require.Equal(t, c.want, w.types())
			if len(c.want) == 1 {
				return
			}
			r := w.replied(t, 0)
			require.Equal(t, schemas.OutcomeAccepted, r.Outcome)
			require.Equal(t, schemas.WorkflowRef{ID: "conversation", RunID: "run"}, r.Workflow)
			require.Equal(t, schemas.ReplyID(q.BotID.WithConversation("c0"), "e0", schemas.TypeStepReplied), w.replies[0].ID)
			require.True(t, published[0].Sent.Equal(arrived), "a stored reply is looked for since then")
			require.Equal(t, []bool{true, false}, []bool{published[0].Shared, published[1].Shared})
		})
	}
}

// TestQueue_EntryNamesItsRun: by it the queue knows that the step has a reply to its event.
func TestQueue_EntryNamesItsRun(t *testing.T) {
	t.Parallel()
	for _, format := range []step.Format{step.FormatScriptAttempt, step.FormatKeepsAccepted} {
		w := newWorld(t)
		w.send(time.Second, requested("e1", plan(background)))
		w.converse(t, stateOf(format))
		require.Equal(t, format >= step.FormatKeepsAccepted, w.queue[0].Workflow == w.replied(t, 0).Workflow)
	}
}

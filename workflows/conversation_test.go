package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestConversation_StepIsAnsweredAndItEndsIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, newState())
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"step.replied", "conversation.closed"}, w.types())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Equal(t, "answer 1", r.Messages[0].Text)
	require.Equal(t, schemas.ConversationOpen, r.Conversation)
	require.Equal(t, schemas.ReplyID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), "e1", schemas.TypeStepReplied), w.replies[0].ID)
	require.NotEmpty(t, r.Workflow.RunID)
	require.Equal(t, step.Result{Outcome: schemas.OutcomeSuccess, Attempts: 1, ReplyID: w.replies[0].ID}, w.results["e1"])
	require.JSONEq(t, fmt.Sprintf(`{"reason":"idle","workflow":{"id":%q,"run_id":%q}}`, r.Workflow.ID, r.Workflow.RunID),
		string(w.replies[1].Data))
}

func TestConversation_EventsInOrderNeverOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 9 { // all at the same moment
		w.send(time.Second, requested(fmt.Sprintf("e%d", i), plan()))
	}
	w.converse(t, newState())
	for i := range 9 {
		require.Equal(t, fmt.Sprintf("e%d", i), w.replied(t, i).EventID)
	}
	require.Equal(t, 1, w.overlap)
}

func TestConversation_KnownEventIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newState()
	s.Seen = []string{"e1"} // from the run before
	w.send(time.Second, requested("e1", plan()))
	w.converse(t, s)
	require.Empty(t, w.replies)
	var refusal *temporal.ApplicationError
	require.ErrorAs(t, w.rejections["e1"], &refusal)
	require.Equal(t, step.RejectedDuplicate, refusal.Type())
}

func TestConversation_StepWaitsForItsEntities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(1*time.Minute, requested("e1", plan(requires("product", "size"))))
	w.send(2*time.Minute, collected("e2", "size"))
	w.send(3*time.Minute, collected("e3", "product"))
	w.converse(t, newState())
	require.Equal(t, []string{"step.waiting", "step.waiting", "step.replied", "conversation.closed"}, w.types())
	require.Contains(t, string(w.replies[0].Data), `"missing":["product","size"]`)
	require.Contains(t, string(w.replies[1].Data), `"missing":["product"]`)
	require.Equal(t, "e1", w.replied(t, 2).EventID)
	require.Len(t, w.calls[0].Entities, 2)
	require.Equal(t, []string{"product", "size"}, w.results["e1"].Waiting)
}

func TestConversation_NextStepCancelsTheWaitingOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(1*time.Minute, requested("e1", plan(requires("product"))))
	w.send(2*time.Minute, requested("e2", plan()))
	w.converse(t, newState())
	require.Equal(t, []string{"step.waiting", "step.replied", "step.replied", "conversation.closed"}, w.types())
	cancelled := w.replied(t, 1)
	require.Equal(t, "e1", cancelled.EventID)
	require.Equal(t, schemas.OutcomeRejected, cancelled.Outcome)
	require.Equal(t, "cancelled", cancelled.Error.Kind)
	require.Equal(t, "e2", w.replied(t, 2).EventID)
}

func TestConversation_WaitingStepExpiresWithIt(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(*world){
		"ended": func(w *world) { w.send(2*time.Minute, ended("e2", "user left")) },
		"idle":  func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.send(time.Second, requested("e1", plan(requires("product"))))
			last(w)
			w.converse(t, newState())
			require.Equal(t, []string{"step.waiting", "step.replied", "conversation.closed"}, w.types())
			r := w.replied(t, 1)
			require.Equal(t, schemas.OutcomeRejected, r.Outcome)
			require.Equal(t, "expired", r.Error.Kind)
		})
	}
}

// TestConversation_LingersAfterClose holds the rules of runs that were started before there were formats.
func TestConversation_LingersAfterClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "done")
		r.ConversationDetails = json.RawMessage(`{"order":"A12"}`)
		return r, nil
	}
	w.send(1*time.Minute, collected("e0", "product"))
	w.send(2*time.Minute, requested("e1", plan()))
	w.send(3*time.Minute, requested("e2", plan(endStep)))
	w.send(4*time.Minute, requested("e3", plan()))
	s := newState()
	s.Format = step.FormatLingering
	w.converse(t, s)
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"step.replied", "step.replied", "conversation.closed", "step.replied", "conversation.closed"}, w.types())
	require.JSONEq(t, `{"order":"A12"}`, string(w.calls[1].ConversationDetails), "a store is in the next request")
	require.Equal(t, schemas.ConversationComplete, w.replied(t, 1).Conversation)
	require.Equal(t, schemas.ClosedCompleted, w.results["e2"].Closed)
	require.Empty(t, w.calls[2].ConversationDetails, "a completed conversation leaves nothing behind")
	require.Empty(t, w.calls[2].Entities)
}

func TestConversation_FailedStepFollowsPlan(t *testing.T) {
	t.Parallel()
	onFailure := func(what string) func(*bot.Plan) { return func(p *bot.Plan) { p.OnFailure = what } }
	cases := map[string]struct {
		onFailure    string
		language     string
		outcome      schemas.Outcome
		conversation string
		text         string
	}{
		"bot break":             {bot.OnFailureBotBreak, "en", schemas.OutcomeBotBreak, "open", "Sorry."},
		"bot break by language": {bot.OnFailureBotBreak, "hi-IN", schemas.OutcomeBotBreak, "open", "Maaf."},
		"continue":              {bot.OnFailureContinue, "en", schemas.OutcomeContinued, "open", ""},
		"handover":              {bot.OnFailureHandover, "en", schemas.OutcomeHandover, "handover", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				return step.WebhookResult{}, fail(in, fault.BadResponse, 0)
			}
			d := requested("e1", plan(onFailure(c.onFailure)))
			d.Event.Data.User = &schemas.User{ID: "91", Language: c.language}
			w.send(time.Second, d)
			w.converse(t, newState())
			r := w.replied(t, 0)
			require.Equal(t, c.outcome, r.Outcome)
			require.Equal(t, c.conversation, r.Conversation)
			require.Equal(t, &schemas.Error{Kind: "bad_response", Message: "provoked"}, r.Error)
			require.Len(t, r.Attempts, 1)
			if c.text != "" {
				require.Equal(t, []schemas.Message{schemas.Text(c.text)}, r.Messages)
			} else {
				require.Empty(t, r.Messages)
			}
		})
	}
}

func TestConversation_ExpiredAndUnknownStepsAreRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := requested("e1", plan())
	past := w.Now().Add(-time.Minute)
	late.UsefulUntil = &past
	w.send(1*time.Minute, late)
	unknown := requested("e2", plan())
	unknown.Plan, unknown.Refused = nil, fault.New(fault.UnknownStep, "no such step")
	w.send(2*time.Minute, unknown)
	adapter := step.Delivery{Event: event("e3", schemas.TypeMessageReceived, schemas.EventData{})}
	w.send(3*time.Minute, adapter)
	w.converse(t, newState())
	for i, kind := range []string{"expired", "unknown_step", "config"} {
		r := w.replied(t, i)
		require.Equal(t, schemas.OutcomeRejected, r.Outcome)
		require.Equal(t, kind, r.Error.Kind)
	}
	require.Empty(t, w.calls)
}

func TestConversation_ContinueAsNewLosesNothing(t *testing.T) {
	t.Parallel()
	first := newWorld(t)
	first.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "one")
		r.ConversationDetails = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		return r, nil
	}
	d := requested("e1", plan())
	d.Event.Data.User, d.Event.Data.ConversationNo = &schemas.User{ID: "91", Language: "hi"}, 7
	first.send(1*time.Minute, d)
	first.send(2*time.Minute, collected("e2", "size"))
	first.send(3*time.Minute, requested("e3", plan(requires("product", "size"))))
	first.RegisterDelayedCallback(func() { first.SetContinueAsNewSuggested(true) }, 4*time.Minute)
	first.converse(t, newState())

	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, first.GetWorkflowError(), &again)
	var carried step.State
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &carried))

	second := newWorld(t)
	second.send(1*time.Minute, requested("e1", plan()))
	second.send(2*time.Minute, collected("e5", "product"))
	second.converse(t, carried)
	require.Contains(t, second.rejections, "e1", "events of the first run are known")
	r := second.replied(t, 0)
	require.Equal(t, "e3", r.EventID, "the waiting step runs in the second run")
	call := second.calls[0]
	require.Len(t, call.Entities, 2)
	require.JSONEq(t, `{"n":1}`, string(call.ConversationDetails))
	require.Equal(t, schemas.User{ID: "91", Language: "hi"}, call.User)
	require.EqualValues(t, 7, call.ConversationNo)
	require.Equal(t, []string{"e1", "e2", "e3"}, carried.Seen)
}

// TestConversation_EventsOfARunAreBounded: the server does not suggest it yet.
func TestConversation_EventsOfARunAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newState()
	s.EventsPerRun = 2
	w.send(1*time.Minute, requested("e1", plan()))
	w.send(2*time.Minute, requested("e2", plan()))
	w.converse(t, s)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.GetWorkflowError(), &again)
	var carried step.State
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &carried))
	require.Equal(t, []string{"e1", "e2"}, carried.Seen)
	require.Equal(t, step.EventsPerRun, carried.EventsPerRun)
}

func TestConversation_IdleTimeCountsFromTheLastEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := w.Now()
	w.send(time.Second, requested("e1", plan()))
	w.send(2*time.Hour, requested("e2", plan()))
	w.converse(t, newState())
	require.Equal(t, []string{"step.replied", "step.replied", "conversation.closed"}, w.types())
	require.WithinDuration(t, start.Add(5*time.Hour), w.Now(), time.Minute)
}

func TestConversation_OversizedEntitiesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := collected("e1", "x")
	big.Event.Data.Entities["x"][0].EntityValue = json.RawMessage(`"` + string(make([]byte, 600<<10)) + `"`)
	for i := range big.Event.Data.Entities["x"][0].EntityValue {
		if big.Event.Data.Entities["x"][0].EntityValue[i] == 0 {
			big.Event.Data.Entities["x"][0].EntityValue[i] = 'a'
		}
	}
	w.send(1*time.Minute, big)
	asked := requested("e2", plan())
	asked.Event.Data.Entities = big.Event.Data.Entities
	w.send(2*time.Minute, asked)
	w.converse(t, newState())
	require.Contains(t, w.rejections, "e1")
	require.Equal(t, "too_large", w.replied(t, 0).Error.Kind)
}

func TestConversation_CancelledRunAnswersTheWaitingStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(time.Second, requested("e1", plan(requires("product"))))
	w.RegisterDelayedCallback(w.CancelWorkflow, 2*time.Minute)
	w.converse(t, newState())
	r := w.replied(t, 1)
	require.Equal(t, schemas.OutcomeRejected, r.Outcome)
	require.Equal(t, "cancelled", r.Error.Kind)
	require.True(t, temporal.IsCanceledError(w.GetWorkflowError()))
}

func TestConversation_RefusedEventChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unknown := requested("e1", plan())
	unknown.Plan, unknown.Refused = nil, fault.New(fault.UnknownStep, "no such step")
	unknown.Event.Data.User = &schemas.User{ID: "mallory"}
	unknown.Event.Data.Entities = collected("", "product").Event.Data.Entities
	w.send(1*time.Minute, unknown)
	w.converse(t, newState())
	require.Equal(t, []string{"step.replied"}, w.types(), "nothing was opened, so nothing is closed")
}

func TestConversation_SameEntitiesAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := json.RawMessage(`"` + strings.Repeat("a", 300<<10) + `"`)
	for i := range 3 {
		d := requested(fmt.Sprintf("e%d", i), plan())
		d.Event.Data.Entities = map[string][]schemas.Entity{"product": {{EntityValue: big}}}
		w.send(time.Duration(i+1)*time.Minute, d)
	}
	w.converse(t, newState())
	for i := range 3 {
		require.Equal(t, schemas.OutcomeSuccess, w.replied(t, i).Outcome)
	}
}

func TestConversation_IdleTimeoutFollowsTheBotFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := w.Now()
	d := requested("e1", plan())
	d.IdleTimeout = bot.Duration(time.Minute)
	w.send(time.Second, d)
	w.converse(t, newState()) // three hours
	require.Equal(t, []string{"step.replied", "conversation.closed"}, w.types())
	require.WithinDuration(t, start.Add(time.Minute), w.Now(), 30*time.Second)
}

func TestConversation_CancelledRunAnswersWhatItAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var cancelled bool
	w.refuse = func(int, step.PublishInput) error {
		if !cancelled { // an event and the cancellation meet the first reply while it is published
			cancelled = true
			w.RegisterDelayedCallback(w.CancelWorkflow, 0)
			w.send(0, requested("e2", plan()))
		}
		return nil
	}
	w.send(time.Second, requested("e1", plan(requires("product"))))
	w.converse(t, newState())
	answered := map[string]int{}
	for i, r := range w.replies {
		if r.Type == schemas.TypeStepReplied {
			answered[w.replied(t, i).EventID]++
		}
	}
	require.Equal(t, 1, answered["e1"])
	require.LessOrEqual(t, answered["e2"], 1)
}

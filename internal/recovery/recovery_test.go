package recovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/recovery"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

var key = schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")

// run is a history under construction.
type run struct {
	t       *testing.T
	events  []*historypb.HistoryEvent
	at      time.Time    // of the events that are accepted from here on
	refused *fault.Fault // why they are rejected
	plan    *bot.Plan    // what they ask for
	data    schemas.EventData
	fail    error // why the history cannot be read
}

func (r *run) payloads(value any) *commonpb.Payloads {
	r.t.Helper()
	p, err := step.DataConverter().ToPayloads(value)
	require.NoError(r.t, err)
	return p
}

func (r *run) started(workflow string, input any) *run { return r.continued(workflow, input, "") }

// continued is started of a run that continues another one.
func (r *run) continued(workflow string, input any, before string) *run {
	r.events = append(r.events, &historypb.HistoryEvent{
		EventTime: timestamppb.Now(),
		Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: workflow}, Input: r.payloads(input), ContinuedExecutionRunId: before,
			},
		},
	})
	return r
}

func (r *run) accepted(id, eventType string) *run {
	r.events = append(r.events, &historypb.HistoryEvent{EventTime: timestamppb.Now(), Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
		WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
			AcceptedRequest: &updatepb.Request{
				Meta: &updatepb.Meta{UpdateId: id},
				Input: &updatepb.Input{Name: step.UpdateName(eventType), Args: r.payloads(step.Delivery{
					Event: schemas.Event{ID: id, Type: eventType, Subject: "c-42", Time: r.at, Data: r.data}, Refused: r.refused,
					Plan: r.plan,
				})},
			},
		},
	}})
	return r
}

// admitted is what a reset applies again.
func (r *run) admitted(id, eventType string) *run {
	request := (&run{t: r.t, at: r.at, plan: r.plan}).accepted(id, eventType).events[0]
	r.events = append(r.events, &historypb.HistoryEvent{EventTime: timestamppb.Now(), Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAdmittedEventAttributes{
		WorkflowExecutionUpdateAdmittedEventAttributes: &historypb.WorkflowExecutionUpdateAdmittedEventAttributes{
			Request: request.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest(),
		},
	}})
	return r
}

// acceptedAgain is the acceptance of what a reset has applied.
func (r *run) acceptedAgain(id string) *run {
	r.events = append(r.events, &historypb.HistoryEvent{EventTime: timestamppb.Now(), Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
		WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{ProtocolInstanceId: id},
	}})
	return r
}

func (r *run) completed(id string, result step.Result) *run {
	r.events = append(r.events, &historypb.HistoryEvent{EventTime: timestamppb.Now(), Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateCompletedEventAttributes{
		WorkflowExecutionUpdateCompletedEventAttributes: &historypb.WorkflowExecutionUpdateCompletedEventAttributes{
			Meta:    &updatepb.Meta{UpdateId: id},
			Outcome: &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: r.payloads(result)}},
		},
	}})
	return r
}

func (r *run) HasNext() bool { return len(r.events) > 0 || r.fail != nil }

func (r *run) Next() (*historypb.HistoryEvent, error) {
	if r.fail != nil {
		return nil, r.fail
	}
	e := r.events[0]
	r.events = r.events[1:]
	return e, nil
}

// terminated is a run that was terminated a while ago.
func terminated(id, runID string, ago time.Duration) *workflowpb.WorkflowExecutionInfo {
	return &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: runID},
		Status:    enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		StartTime: timestamppb.New(time.Now().Add(-ago - time.Minute)), CloseTime: timestamppb.New(time.Now().Add(-ago)),
	}
}

// endedEarly makes visibility list one run that was terminated, with a history.
func endedEarly(c *mocks.Client, id string, history client.HistoryEventIterator) {
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{
		Executions: []*workflowpb.WorkflowExecutionInfo{terminated(id, "terminated", 0)},
	}, nil)
	c.On("GetWorkflowHistory", mock.Anything, id, "terminated", false, mock.Anything).Return(history).Once()
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	polled(c, 0)
}

// TestRecovery_RunThatEndedEarly: what a run had accepted and not answered goes to a new run, once, in order. A step that
// waited for entities is answered: no run can have it without them.
func TestRecovery_RunThatEndedEarly(t *testing.T) {
	t.Parallel()
	const requested, collected = schemas.TypeStepRequested, schemas.TypeEntitiesCollected
	success := step.Result{Outcome: schemas.OutcomeSuccess}
	waits := step.Result{Waiting: []string{"otp"}}
	state := step.State{ConversationKey: key}
	rejects := func(replyTo string, kind fault.Kind) step.Result {
		to := step.Address{ConversationKey: key, Event: schemas.Event{ID: replyTo}}
		return step.Result{Outcome: schemas.OutcomeRejected, Error: string(kind), ReplyID: to.ReplyID(schemas.TypeStepReplied)}
	}
	closes := rejects("w0", fault.Expired)
	closes.Closed = schemas.ClosedCompleted
	withWaiting := state
	withWaiting.Waiting = &step.Delivery{Event: schemas.Event{ID: "w0", Type: requested, Subject: "c-42"}}
	for name, tc := range map[string]struct {
		history       func(r *run) *run
		again, failed []string
	}{
		"in hand": {func(r *run) *run {
			return r.started("Conversation", state).accepted("e1", requested).completed("e1", success).accepted("e2", requested).accepted("e3", requested)
		}, []string{"e2", "e3"}, nil},
		"all answered": {func(r *run) *run {
			return r.started("Conversation", state).accepted("e1", requested).completed("e1", success)
		}, nil, nil},
		"waits": {func(r *run) *run {
			return r.started("Conversation", state).accepted("e1", requested).completed("e1", waits)
		}, nil, []string{"e1"}},
		"has waited": {func(r *run) *run {
			return r.started("Conversation", state).accepted("e1", requested).completed("e1", waits).accepted("e2", collected).completed("e2", success)
		}, nil, nil},
		"waits since the run before": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", collected).completed("e1", waits).accepted("e2", collected)
		}, []string{"e2"}, []string{"w0"}},
		"a message leaves it waiting": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("m1", schemas.TypeMessageReceived).
				completed("m1", step.Result{Outcome: schemas.OutcomeDelivered})
		}, nil, []string{"w0"}},
		"entities too late": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", collected).completed("e1", rejects("e1", fault.Expired))
		}, nil, []string{"w0"}},
		"entities too large": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", collected).completed("e1", rejects("e1", fault.TooLarge))
		}, nil, []string{"w0"}},
		"the waiting step is too late": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", collected).completed("e1", rejects("w0", fault.Expired))
		}, nil, nil},
		"next step too late": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", requested).completed("e1", rejects("e1", fault.Expired))
		}, nil, []string{"w0"}},
		"next step not served": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", requested).completed("e1", rejects("e1", fault.UnknownStep))
		}, nil, nil},
		"end too late": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", schemas.TypeConversationEnded).
				completed("e1", rejects("e1", fault.Expired))
		}, nil, []string{"w0"}},
		"ended": {func(r *run) *run {
			return r.started("Conversation", withWaiting).accepted("e1", schemas.TypeConversationEnded).completed("e1", closes)
		}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, c := setup(t)
			endedEarly(c, "conversation/default/shop/c-42", tc.history(&run{t: t}))
			again := intaketest.Taking(c)
			require.NoError(t, rec.RecoverTwice(t.Context()))
			require.Equal(t, tc.again, *again)
			require.Equal(t, tc.failed, rejected(t, rec, fault.Internal))
		})
	}
}

// answers returns the events that the intake itself has answered, with the reasons.
func answers(t *testing.T, rec *recovery.Recovery) (all []string) {
	t.Helper()
	sent, _ := rec.Answers.Replies.(*intaketest.Replies)
	for _, reply := range sent.Published {
		var data schemas.StepReplied
		require.NoError(t, json.Unmarshal(reply.Data, &data))
		require.Equal(t, schemas.OutcomeRejected, data.Outcome)
		all = append(all, data.EventID+" "+data.Error.Kind)
	}
	return all
}

// rejected returns the events that the intake itself has answered, all of them for one reason.
func rejected(t *testing.T, rec *recovery.Recovery, kind fault.Kind) (ids []string) {
	t.Helper()
	for _, answer := range answers(t, rec) {
		id, reason, _ := strings.Cut(answer, " ")
		require.Equal(t, string(kind), reason)
		ids = append(ids, id)
	}
	return ids
}

// TestRecovery_Step: a step on its own runs again under its id, which the server allows once.
func TestRecovery_Step(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	request := step.Request{ConversationKey: key, Delivery: step.Delivery{Event: schemas.Event{ID: "e1", Type: schemas.TypeStepRequested}}}
	endedEarly(c, "step/default/shop/c-42/e1", (&run{t: t}).started("Step", request))
	var options []client.StartWorkflowOptions
	c.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		o, _ := args[1].(client.StartWorkflowOptions)
		options = append(options, o)
	}).Return(nil, nil)
	require.NoError(t, rec.RecoverTwice(t.Context()))
	require.Len(t, options, 1)
	require.Equal(t, "step/default/shop/c-42/e1", options[0].ID)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, options[0].WorkflowIDReusePolicy)
}

// TestRecovery_IsRetried: a run whose events could not be handed over is looked at again.
func TestRecovery_IsRetried(t *testing.T) {
	t.Parallel()
	rec, c := setup(t)
	history := func() *run {
		return (&run{t: t}).started("Conversation", step.State{ConversationKey: key}).accepted("e1", schemas.TypeStepRequested)
	}
	endedEarly(c, "conversation/default/shop/c-42", history())
	c.On("GetWorkflowHistory", mock.Anything, "conversation/default/shop/c-42", "terminated", false, mock.Anything).Return(
		func(context.Context, string, string, bool, enumspb.HistoryEventFilterType) client.HistoryEventIterator {
			return history()
		})
	tries := 0
	intaketest.Accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if tries++; tries == 1 {
			return nil, errors.New("surprise")
		}
		return intaketest.UpdateHandle(nil), nil
	})
	require.Error(t, rec.RecoverTwice(t.Context()))
	require.Equal(t, 2, tries)
}

// TestRecovery_RecoveredFromTwoRuns: every starter recovers each run that ended early. The run that took the event then may
// have ended early as well: with an answer, the event is not handled again; without one, it is recovered.
func TestRecovery_RecoveredFromTwoRuns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcome *updatepb.Outcome
		taken   []string
	}{"answered": {intaketest.AnsweredUpdate(), nil}, "left as well": {intaketest.LostUpdate(), []string{"e1"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, c := setup(t)
			c.On("WorkflowService").Return(intaketest.Updates{Outcomes: map[string]*updatepb.Outcome{
				"latest e1": tc.outcome, "terminated e1": intaketest.LostUpdate(),
			}})
			endedEarly(c, "conversation/default/shop/c-42",
				(&run{t: t}).started("Conversation", step.State{ConversationKey: key}).accepted("e1", schemas.TypeStepRequested))
			taken := intaketest.Taking(c)
			require.NoError(t, rec.RecoverTwice(t.Context()))
			require.Equal(t, tc.taken, *taken)
		})
	}
}

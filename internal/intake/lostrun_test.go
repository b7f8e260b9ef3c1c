package intake_test

import (
	"testing"
	"time"

	"github.com/golang/mock/gomock"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	workflowservicemock "go.temporal.io/api/workflowservicemock/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// lostAtFirst makes the run that takes the first event end before its answer, with what ends does, and the next runs take
// their events. It returns the deliveries.
func lostAtFirst(c *mocks.Client, ends func()) *[]step.Delivery {
	var sent []step.Delivery
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if sent = append(sent, delivered(o.UpdateOptions)); len(sent) > 1 {
			return handle(nil), nil
		}
		ends()
		return handle(temporal.NewApplicationError("gone", "AcceptedUpdateCompletedWorkflow")), nil
	})
	return &sent
}

// TestIntake_ScriptOfEndedRunNotTwice: the script of the run that is gone may have begun, and no recovery finds the run.
func TestIntake_ScriptOfEndedRunNotTwice(t *testing.T) {
	t.Parallel()
	for name, described := range map[string]func() (*workflowservice.DescribeWorkflowExecutionResponse, error){
		"completed": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return describedRun(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED), nil
		},
		"cancelled": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return describedRun(enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED), nil
		},
		"continued": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return describedRun(enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW), nil
		},
		"deleted": func() (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return nil, serviceerror.NewNotFound("no such run")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			c.On("DescribeWorkflowExecution", mock.Anything, "conversation/default/lab/c-42", "run-1").Return(described())
			taken := lostAtFirst(c, func() {})
			verdict(t, in.Handle(t.Context(), requested("lab")), "", false)
			sent := *taken
			require.Len(t, sent, 2)
			require.NotNil(t, sent[0].Plan.Code)
			require.Nil(t, sent[0].Refused)
			require.Equal(t, fault.OutcomeUnknown, sent[1].Refused.Kind)
		})
	}
}

func describedRun(status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: status, Execution: &commonpb.WorkflowExecution{RunId: "run-1"},
	}}
}

// TestIntake_ScriptOfTerminatedRunNotTwice: of the scripts that a terminated run had accepted, only the first one may have
// begun. The others run, in their order and before the events that come later.
func TestIntake_ScriptOfTerminatedRunNotTwice(t *testing.T) {
	t.Parallel()
	lab := schemas.BotID{Tenant: "default", Bot: "lab"}.WithConversation("c-42")
	next := message("lab", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
	for name, tc := range map[string]struct {
		busy int32 // recoveries under way
		away error // why the latest run cannot be looked at for the first event
		then func(t *testing.T, in *intake.Intake)
		want []string
	}{
		"recovered at once": {want: []string{"e1", "e1"}},
		"recovered later": {busy: intake.RecoverFirst, want: []string{"e1", "e1"}, then: func(t *testing.T, in *intake.Intake) {
			t.Helper()
			require.NoError(t, in.Recovered(t.Context()))
		}},
		"recovered before the next event": {
			away: serviceerror.NewUnavailable("away"), want: []string{"e1", "e1", "e2"},
			then: func(t *testing.T, in *intake.Intake) {
				t.Helper()
				verdict(t, in.Handle(t.Context(), next), "", false)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			n := newNamespace(t, c)
			n.away = tc.away
			noneOpen(c)
			var sent *[]step.Delivery
			sent = lostAtFirst(c, func() {
				n.terminated(lab, "run-1", time.Second)
				n.histories["run-1"] = func() *run {
					r := (&run{t: t, plan: (*sent)[0].Plan}).started("Conversation", step.State{ConversationKey: lab})
					return r.accepted("e0", schemas.TypeStepRequested).accepted("e1", schemas.TypeStepRequested)
				}
			})
			in.Recovering(tc.busy)
			verdict(t, in.Handle(t.Context(), requested("lab")), "", false)
			n.away = nil
			if tc.then != nil {
				require.Len(t, *sent, 1)
				tc.then(t, in)
			}
			var taken []string
			for _, d := range *sent {
				taken = append(taken, d.Event.ID)
				require.Nil(t, d.Refused)
			}
			require.Equal(t, tc.want, taken)
			require.Equal(t, []string{"e0 outcome_unknown"}, answers(t, in))
		})
	}
}

// TestIntake_RecoveredIntoTerminatedRun: the recovery goes on with the events of a run, in their order, when the run that took
// one of them has ended early as well.
func TestIntake_RecoveredIntoTerminatedRun(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	n := newNamespace(t, c)
	n.terminated(key, "ended", time.Second, "e1", "e2")
	sent := lostAtFirst(c, func() { n.terminated(key, "run-1", 0) })
	require.NoError(t, in.Recovered(t.Context()))
	var taken []string
	for _, d := range *sent {
		taken = append(taken, d.Event.ID)
	}
	require.Equal(t, []string{"e1", "e1", "e2"}, taken)
}

// TestIntake_EventOfTerminatedRunIsNotGivenUp: an event that belongs to a recovery is not to blame for what the next run does.
func TestIntake_EventOfTerminatedRunIsNotGivenUp(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	failing := begun(time.Now())
	failing.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{Attempt: 7}
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(failing, nil)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(
		describedRun(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED), nil)
	service := workflowservicemock.NewMockWorkflowServiceClient(gomock.NewController(t))
	service.EXPECT().GetWorkflowExecutionHistoryReverse(gomock.Any(), gomock.Any()).Return(
		&workflowservice.GetWorkflowExecutionHistoryReverseResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{
			{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED},
		}}}, nil).AnyTimes()
	c.On("WorkflowService").Return(service).Maybe()
	lostAtFirst(c, func() {})
	m := requested("lab")
	in.SetTried(m, time.Now().Add(-time.Hour))
	verdict(t, in.Handle(t.Context(), m), "", false)
}

// TestIntake_EndedRunCannotBeLookedAt: whether a recovery has an event is not guessed.
func TestIntake_EndedRunCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "run-1").Return(nil, serviceerror.NewUnavailable("away"))
	sent := lostAtFirst(c, func() {})
	verdict(t, in.Handle(t.Context(), requested("lab")), "", true)
	require.Len(t, *sent, 1)
}

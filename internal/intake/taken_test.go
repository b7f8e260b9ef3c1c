package intake_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// completed makes a run that had taken e1.
func completed(c *mocks.Client, runID string) {
	run := &mocks.WorkflowRun{}
	run.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		result, _ := args[1].(*step.ConversationResult)
		result.EventIDs = []string{"e1"}
	}).Return(nil)
	c.On("GetWorkflow", mock.Anything, "conversation/default/shop/c-42", runID).Return(run)
}

// updates are the Updates that closed runs had taken, by "<run id> <update id>".
type updates struct {
	workflowservice.WorkflowServiceClient

	outcomes map[string]*updatepb.Outcome
	err      error
}

func (u updates) PollWorkflowExecutionUpdate(
	_ context.Context, r *workflowservice.PollWorkflowExecutionUpdateRequest, _ ...grpc.CallOption,
) (*workflowservice.PollWorkflowExecutionUpdateResponse, error) {
	if u.err != nil {
		return nil, u.err
	}
	if r.GetWaitPolicy().GetLifecycleStage() != enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED {
		return nil, context.DeadlineExceeded
	}
	outcome, took := u.outcomes[r.GetUpdateRef().GetWorkflowExecution().GetRunId()+" "+r.GetUpdateRef().GetUpdateId()]
	if !took {
		return nil, serviceerror.NewNotFound("update not found")
	}
	return &workflowservice.PollWorkflowExecutionUpdateResponse{Outcome: outcome}, nil
}

// answeredUpdate and lostUpdate are the outcomes of Updates.
func answeredUpdate() *updatepb.Outcome {
	return &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: &commonpb.Payloads{}}}
}

func lostUpdate() *updatepb.Outcome {
	return &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: &failurepb.Failure{
		FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{
			Type: "AcceptedUpdateCompletedWorkflow",
		}},
	}}}
}

// TestIntake_EndedRunKnowsEvent: an event whose acknowledgement was lost comes again when the run that had it was cancelled or
// ended early, as the latest run or before another one. It is not handled again: what the run has answered is answered, and
// what it has left belongs to the recovery, which does not run a script twice.
func TestIntake_EndedRunKnowsEvent(t *testing.T) {
	t.Parallel()
	const canceled, terminated = enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	for name, tc := range map[string]struct {
		status  enumspb.WorkflowExecutionStatus
		update  string
		outcome *updatepb.Outcome
		err     error
		taken   []string
		retried bool
	}{
		"cancelled":                       {status: canceled, update: "ended e1", outcome: answeredUpdate()},
		"terminated":                      {status: terminated, update: "ended e1", outcome: answeredUpdate()},
		"failed":                          {status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, update: "ended e1", outcome: answeredUpdate()},
		"timed out":                       {status: enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, update: "ended e1", outcome: answeredUpdate()},
		"taken from another run":          {status: canceled, update: "ended e1.again", outcome: answeredUpdate()},
		"terminated before the answer":    {status: terminated, update: "ended e1", outcome: lostUpdate()},
		"terminated, not answered yet":    {status: terminated, update: "ended e1"},
		"cancelled without an answer":     {status: canceled, update: "ended e1", outcome: lostUpdate(), taken: []string{"e1"}},
		"another event":                   {status: terminated, update: "ended e2", outcome: answeredUpdate(), taken: []string{"e1"}},
		"the run cannot be asked":         {status: canceled, err: serviceerror.NewUnavailable("away"), retried: true},
		"the server does not keep the id": {status: canceled, err: serviceerror.NewNotFound("no such run"), taken: []string{"e1"}},
	} {
		for _, latest := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in, c := setup(t)
				c.On("WorkflowService").Return(updates{outcomes: map[string]*updatepb.Outcome{tc.update: tc.outcome}, err: tc.err})
				ended := &workflowpb.WorkflowExecutionInfo{Status: tc.status, StartTime: timestamppb.Now(),
					Execution: &commonpb.WorkflowExecution{RunId: "ended"}}
				var query string
				if latest {
					c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
						&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: ended}, nil)
					c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
				} else {
					c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(begun(time.Now()), nil)
					c.On("ListWorkflow", mock.Anything, mock.Anything).Return(
						func(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
							query = r.GetQuery()
							return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{ended}}, nil
						})
				}
				recall := &recalled{}
				in.Recall = recall
				in.Replies = &replies{published: []schemas.Reply{repliedTo(t, "shop")}}
				taken := taking(c)
				verdict(t, in.Handle(t.Context(), redelivered()), "", tc.retried)
				require.Equal(t, tc.taken, *taken)
				require.Empty(t, recall.asked, "the reply is stored")
				if !latest {
					require.Contains(t, query, "ExecutionStatus IN ('Completed', 'Canceled', 'Terminated', 'Failed', 'TimedOut')")
				}
			})
		}
	}
}

// TestIntake_LeftEventIsNotAnswered: what a terminated run has left unanswered is not answered before it is recovered.
func TestIntake_LeftEventIsNotAnswered(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("WorkflowService").Return(updates{outcomes: map[string]*updatepb.Outcome{"latest e1": lostUpdate()}})
	running(c, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	in.Recall = &recalled{lost: true}
	taken := taking(c)
	verdict(t, in.Handle(t.Context(), redelivered()), "", false)
	require.Empty(t, *taken)
	require.Empty(t, in.Replies.(*replies).published)
}

// TestIntake_RecoveredFromTwoRuns: every starter recovers each run that ended early. The run that took the event then may
// have ended early as well: with an answer, the event is not handled again; without one, it is recovered.
func TestIntake_RecoveredFromTwoRuns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcome *updatepb.Outcome
		taken   []string
	}{"answered": {answeredUpdate(), nil}, "left as well": {lostUpdate(), []string{"e1"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			c.On("WorkflowService").Return(updates{outcomes: map[string]*updatepb.Outcome{
				"latest e1": tc.outcome, "terminated e1": lostUpdate(),
			}})
			endedEarly(c, "conversation/default/shop/c-42",
				(&run{t: t}).started("Conversation", step.State{ConversationKey: key}).accepted("e1", schemas.TypeStepRequested))
			taken := taking(c)
			require.NoError(t, in.RecoverTwice(t.Context()))
			require.Equal(t, tc.taken, *taken)
		})
	}
}

// TestIntake_RunsNotKept: of a conversation whose runs the server does not keep any more only the replies are left.
func TestIntake_RunsNotKept(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"answered": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewNotFound("no such run"))
			if stored {
				in.Replies = &replies{published: []schemas.Reply{repliedTo(t, "shop")}}
			}
			taken := taking(c)
			verdict(t, in.Handle(t.Context(), redelivered()), "", false)
			require.Equal(t, stored, len(*taken) == 0)
		})
	}
}

// TestIntake_ClosedRunCannotBeRead: what cannot be read now does not decide that an event is new.
func TestIntake_ClosedRunCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(c *mocks.Client){
		"latest run": func(c *mocks.Client) {
			c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewUnavailable("away"))
		},
		"its result": func(c *mocks.Client) {
			running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			run := &mocks.WorkflowRun{}
			run.On("Get", mock.Anything, mock.Anything).Return(serviceerror.NewUnavailable("away"))
			c.On("GetWorkflow", mock.Anything, mock.Anything, "latest").Return(run)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			prepare(c)
			taken := taking(c)
			verdict(t, in.Handle(t.Context(), redelivered()), "", true)
			require.Empty(t, *taken)
		})
	}
}

// TestIntake_EarlierRunKnowsEvent: an event whose acknowledgement was lost comes again when its conversation was closed and
// later rounds have runs of their own.
func TestIntake_EarlierRunKnowsEvent(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, Execution: &commonpb.WorkflowExecution{RunId: "third"},
		}}, nil)
	stored := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	var list []string
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(
		func(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
			list = append(list, r.GetQuery())
			if len(r.GetNextPageToken()) == 0 {
				return &workflowservice.ListWorkflowExecutionsResponse{NextPageToken: []byte("more")}, nil
			}
			return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{{
				Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Execution: &commonpb.WorkflowExecution{RunId: "first"},
			}}}, nil
		})
	completed(c, "first")
	var started []string
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		started = append(started, o.UpdateOptions.UpdateID)
		return handle(nil), nil
	})
	known, other := requested("shop"), message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
	known.Deliveries, known.Received, other.Deliveries, other.Received = 2, stored, 2, stored
	verdict(t, in.Handle(t.Context(), known), "", false)
	require.Empty(t, started)
	require.Contains(t, list[0], "WorkflowId = 'conversation/default/shop/c-42'")
	require.Contains(t, list[0], "CloseTime >= '2026-07-01T11:59:00Z'")
	verdict(t, in.Handle(t.Context(), other), "", false)
	require.Equal(t, []string{"e2"}, started)
}

// TestIntake_FewRunsAreAsked: an engine decides how many runs its conversation has had, and from when on they are listed.
func TestIntake_FewRunsAreAsked(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(begun(time.Now()), nil)
	page := &workflowservice.ListWorkflowExecutionsResponse{NextPageToken: []byte("more")}
	for range 101 {
		page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Execution: &commonpb.WorkflowExecution{RunId: "one"},
		})
	}
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(page, nil).Once()
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
	completed(c, "one")
	taken := taking(c)
	verdict(t, in.Handle(t.Context(), again("e2")), "", false)
	require.Equal(t, []string{"e2"}, *taken)
	c.AssertNumberOfCalls(t, "GetWorkflow", 100)
}

// TestIntake_RunsCannotBeListed: an event that may have been handled waits until that is known.
func TestIntake_RunsCannotBeListed(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		}}, nil)
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewUnavailable("away"))
	m := requested("shop")
	m.Deliveries = 2
	verdict(t, in.Handle(t.Context(), m), "", true)
}

// TestIntake_ClosedRunKnowsEvent: an event that comes again after its conversation was closed starts no new run.
func TestIntake_ClosedRunKnowsEvent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventreader.Message){
		"redelivered": func(m *eventreader.Message) { m.Deliveries = 2 },
		"taken over":  func(m *eventreader.Message) { m.TakenOver = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := setup(t)
			running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			completed(c, "latest")
			var started []string
			accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				started = append(started, o.UpdateOptions.UpdateID)
				return handle(nil), nil
			})
			known, other := requested("shop"), message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
			change(known)
			change(other)
			verdict(t, in.Handle(t.Context(), known), "", false)
			require.Empty(t, started)
			verdict(t, in.Handle(t.Context(), other), "", false)
			require.Equal(t, []string{"e2"}, started)
		})
	}
}

package dispatch_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/schemas"
)

// TestDispatcher_EndedRunKnowsEvent: an event whose acknowledgement was lost comes again when the run that had it was cancelled or
// ended early, as the latest run or before another one. It is not handled again: what the run has answered is answered, and
// what it has left belongs to the recovery, which does not run a script twice.
func TestDispatcher_EndedRunKnowsEvent(t *testing.T) {
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
		"cancelled":                       {status: canceled, update: "ended e1", outcome: intaketest.AnsweredUpdate()},
		"terminated":                      {status: terminated, update: "ended e1", outcome: intaketest.AnsweredUpdate()},
		"failed":                          {status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, update: "ended e1", outcome: intaketest.AnsweredUpdate()},
		"timed out":                       {status: enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, update: "ended e1", outcome: intaketest.AnsweredUpdate()},
		"continued as new":                {status: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, update: "ended e1", outcome: intaketest.AnsweredUpdate()},
		"taken from another run":          {status: canceled, update: "ended e1.again", outcome: intaketest.AnsweredUpdate()},
		"terminated before the answer":    {status: terminated, update: "ended e1", outcome: intaketest.LostUpdate()},
		"terminated, not answered yet":    {status: terminated, update: "ended e1"},
		"cancelled without an answer":     {status: canceled, update: "ended e1", outcome: intaketest.LostUpdate(), taken: []string{"e1"}},
		"another event":                   {status: terminated, update: "ended e2", outcome: intaketest.AnsweredUpdate(), taken: []string{"e1"}},
		"the run cannot be asked":         {status: canceled, err: serviceerror.NewUnavailable("away"), retried: true},
		"the server does not keep the id": {status: canceled, err: serviceerror.NewNotFound("no such run"), taken: []string{"e1"}},
	} {
		for _, latest := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in, c := intaketest.Setup(t)
				in.Dispatcher.Recovery = &recovers{}
				c.On("WorkflowService").Return(intaketest.Updates{Outcomes: map[string]*updatepb.Outcome{tc.update: tc.outcome}, Err: tc.err})
				ended := &workflowpb.WorkflowExecutionInfo{Status: tc.status, StartTime: timestamppb.Now(),
					Execution: &commonpb.WorkflowExecution{RunId: "ended"}}
				var query string
				if latest {
					c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
						&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: ended}, nil)
					c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
				} else {
					c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now()), nil)
					c.On("ListWorkflow", mock.Anything, mock.Anything).Return(
						func(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
							query = r.GetQuery()
							return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{ended}}, nil
						})
				}
				recall := &intaketest.Recalled{}
				in.Recall = recall
				in.Answers.Replies = &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, "shop")}}
				taken := intaketest.Taking(c)
				intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Redelivered()), "", tc.retried)
				require.Equal(t, tc.taken, *taken)
				require.Empty(t, recall.Asked, "the reply is stored")
				if !latest {
					require.Contains(t, query, "ExecutionStatus IN ('Completed', 'Canceled', 'Terminated', 'Failed', 'TimedOut', 'ContinuedAsNew')")
				}
			})
		}
	}
}

// TestDispatcher_LeftEventIsNotAnswered: what a terminated run has left unanswered is not answered before it is recovered.
func TestDispatcher_LeftEventIsNotAnswered(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("WorkflowService").Return(intaketest.Updates{Outcomes: map[string]*updatepb.Outcome{"latest e1": intaketest.LostUpdate()}})
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	in.Recall = &intaketest.Recalled{Lost: true}
	taken := intaketest.Taking(c)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Redelivered()), "", false)
	require.Empty(t, *taken)
	require.Empty(t, in.Answers.Replies.(*intaketest.Replies).Published)
}

// TestDispatcher_RunsNotKept: of a conversation whose runs the server does not keep any more only the replies are left.
func TestDispatcher_RunsNotKept(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"answered": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewNotFound("no such run"))
			if stored {
				in.Answers.Replies = &intaketest.Replies{Published: []schemas.Reply{intaketest.RepliedTo(t, "shop")}}
			}
			taken := intaketest.Taking(c)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Redelivered()), "", false)
			require.Equal(t, stored, len(*taken) == 0)
		})
	}
}

// TestDispatcher_ClosedRunCannotBeRead: what cannot be read now does not decide that an event is new.
func TestDispatcher_ClosedRunCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(c *mocks.Client){
		"latest run": func(c *mocks.Client) {
			c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, serviceerror.NewUnavailable("away"))
		},
		"its result": func(c *mocks.Client) {
			intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			run := &mocks.WorkflowRun{}
			run.On("Get", mock.Anything, mock.Anything).Return(serviceerror.NewUnavailable("away"))
			c.On("GetWorkflow", mock.Anything, mock.Anything, "latest").Return(run)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			prepare(c)
			taken := intaketest.Taking(c)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Redelivered()), "", true)
			require.Empty(t, *taken)
		})
	}
}

// TestDispatcher_EarlierRunKnowsEvent: an event whose acknowledgement was lost comes again when its conversation was closed and
// later rounds have runs of their own.
func TestDispatcher_EarlierRunKnowsEvent(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
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
	intaketest.Completed(c, "first")
	var started []string
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		started = append(started, o.UpdateOptions.UpdateID)
		return intaketest.UpdateHandle(nil), nil
	})
	known, other := intaketest.Requested("shop"), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
	known.Deliveries, known.Received, other.Deliveries, other.Received = 2, stored, 2, stored
	intaketest.RequireOutcome(t, in.Handle(t.Context(), known), "", false)
	require.Empty(t, started)
	require.Contains(t, list[0], "WorkflowId = 'conversation/default/shop/c-42'")
	require.Contains(t, list[0], "CloseTime >= '2026-07-01T11:59:00Z'")
	intaketest.RequireOutcome(t, in.Handle(t.Context(), other), "", false)
	require.Equal(t, []string{"e2"}, started)
}

// TestDispatcher_FewRunsAreAsked: an engine decides how many runs its conversation has had, and from when on they are listed.
func TestDispatcher_FewRunsAreAsked(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(intaketest.Begun(time.Now()), nil)
	page := &workflowservice.ListWorkflowExecutionsResponse{NextPageToken: []byte("more")}
	for range 101 {
		page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Execution: &commonpb.WorkflowExecution{RunId: "one"},
		})
	}
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(page, nil).Once()
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
	intaketest.Completed(c, "one")
	taken := intaketest.Taking(c)
	intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Again("e2")), "", false)
	require.Equal(t, []string{"e2"}, *taken)
	c.AssertNumberOfCalls(t, "GetWorkflow", 100)
}

// TestDispatcher_RunsCannotBeListed: an event that may have been handled waits until that is known.
func TestDispatcher_RunsCannotBeListed(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		}}, nil)
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewUnavailable("away"))
	m := intaketest.Requested("shop")
	m.Deliveries = 2
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", true)
}

// TestDispatcher_ClosedRunKnowsEvent: an event that comes again after its conversation was closed starts no new run.
func TestDispatcher_ClosedRunKnowsEvent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventreader.Message){
		"redelivered": func(m *eventreader.Message) { m.Deliveries = 2 },
		"taken over":  func(m *eventreader.Message) { m.TakenOver = true },
		"tried":       func(m *eventreader.Message) { m.Tried = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			intaketest.Completed(c, "latest")
			var started []string
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				started = append(started, o.UpdateOptions.UpdateID)
				return intaketest.UpdateHandle(nil), nil
			})
			known, other := intaketest.Requested("shop"), intaketest.Message("shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, "e2")
			change(known)
			change(other)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), known), "", false)
			require.Empty(t, started)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), other), "", false)
			require.Equal(t, []string{"e2"}, started)
		})
	}
}

package intake_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

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

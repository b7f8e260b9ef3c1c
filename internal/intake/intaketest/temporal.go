package intaketest

import (
	"context"
	"time"

	"github.com/stretchr/testify/mock"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/step"
)

// Accepting makes every conversation take its events: each call of UpdateWithStartWorkflow ends in the results of answer.
func Accepting(c *mocks.Client, answer func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error)) {
	c.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Return(nil).Maybe()
	c.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(
		func(_ context.Context, o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
			return answer(o)
		}).Maybe()
}

// Delivered returns the delivery of an Update.
func Delivered(o client.UpdateWorkflowOptions) step.Delivery {
	d, _ := o.Args[0].(step.Delivery)
	return d
}

// UpdateHandle returns the handle of an Update whose outcome is known: err rejected it.
func UpdateHandle(err error) *mocks.WorkflowUpdateHandle {
	h := &mocks.WorkflowUpdateHandle{}
	h.On("RunID").Return("run-1")
	h.On("Get", mock.Anything, mock.Anything).Return(err)
	return h
}

// Running sets the status of the latest run of every conversation.
func Running(c *mocks.Client, status enumspb.WorkflowExecutionStatus) {
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: status, Execution: &commonpb.WorkflowExecution{WorkflowId: "w", RunId: "latest"},
		}}, nil).Maybe()
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil).Maybe()
	c.On("WorkflowService").Return(Updates{}).Maybe()
}

// NoneOpen lets no conversation have an open run.
func NoneOpen(c *mocks.Client) {
	c.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewNotFound("no such run")).Maybe()
}

// Taking makes every conversation take its events, and returns their ids.
func Taking(c *mocks.Client) *[]string {
	var ids []string
	Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		ids = append(ids, o.UpdateOptions.UpdateID)
		return UpdateHandle(nil), nil
	})
	return &ids
}

// Begun returns an open run that began at a time.
func Begun(at time.Time) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, StartTime: timestamppb.New(at),
		Execution: &commonpb.WorkflowExecution{RunId: "open"},
	}}
}

// Completed makes a run that had taken e1.
func Completed(c *mocks.Client, runID string) {
	run := &mocks.WorkflowRun{}
	run.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		result, _ := args[1].(*step.ConversationResult)
		result.EventIDs = []string{"e1"}
	}).Return(nil)
	c.On("GetWorkflow", mock.Anything, "conversation/default/shop/c-42", runID).Return(run)
}

// Updates are the Updates that closed runs had taken, by "<run id> <update id>".
type Updates struct {
	workflowservice.WorkflowServiceClient

	Outcomes map[string]*updatepb.Outcome
	Err      error
}

// PollWorkflowExecutionUpdate implements workflowservice.WorkflowServiceClient.
func (u Updates) PollWorkflowExecutionUpdate(
	_ context.Context, r *workflowservice.PollWorkflowExecutionUpdateRequest, _ ...grpc.CallOption,
) (*workflowservice.PollWorkflowExecutionUpdateResponse, error) {
	if u.Err != nil {
		return nil, u.Err
	}
	if r.GetWaitPolicy().GetLifecycleStage() != enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED {
		return nil, context.DeadlineExceeded
	}
	outcome, took := u.Outcomes[r.GetUpdateRef().GetWorkflowExecution().GetRunId()+" "+r.GetUpdateRef().GetUpdateId()]
	if !took {
		return nil, serviceerror.NewNotFound("update not found")
	}
	return &workflowservice.PollWorkflowExecutionUpdateResponse{Outcome: outcome}, nil
}

// AnsweredUpdate returns the outcome of an Update that was answered.
func AnsweredUpdate() *updatepb.Outcome {
	return &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: &commonpb.Payloads{}}}
}

// LostUpdate returns the outcome of an Update whose run ended before its answer.
func LostUpdate() *updatepb.Outcome {
	return &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: &failurepb.Failure{
		FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{
			Type: "AcceptedUpdateCompletedWorkflow",
		}},
	}}}
}

// LostAtFirst makes the run that takes the first event end before its answer, with what ends does, and the next runs take
// their events. It returns the deliveries.
func LostAtFirst(c *mocks.Client, ends func()) *[]step.Delivery {
	var sent []step.Delivery
	Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if sent = append(sent, Delivered(o.UpdateOptions)); len(sent) > 1 {
			return UpdateHandle(nil), nil
		}
		ends()
		return UpdateHandle(temporal.NewApplicationError("gone", "AcceptedUpdateCompletedWorkflow")), nil
	})
	return &sent
}

// DescribedRun returns run-1 with a status.
func DescribedRun(status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: status, Execution: &commonpb.WorkflowExecution{RunId: "run-1"},
	}}
}

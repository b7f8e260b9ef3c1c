package app

import (
	"context"
	"errors"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// endAtUpdateLimit makes the limit of one workflow's unfinished Updates an error that the SDK does not retry. It retries
// every exhausted resource until the context ends: a conversation that has its ten Updates at a slow endpoint would hold a
// slot of its tenant for the whole time of each try, and the try would end like that of an overloaded server.
func endAtUpdateLimit(
	ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, cc, opts...)
	if err == nil || !isUpdate(method) {
		return err
	}
	failed := []error{serviceerror.FromStatus(status.Convert(err))}
	if several, ok := errors.AsType[*serviceerror.MultiOperationExecution](failed[0]); ok {
		failed = several.OperationErrors()
	}
	if slices.ContainsFunc(failed, atUpdateLimit) {
		return status.Error(codes.FailedPrecondition, status.Convert(err).Message())
	}
	return err
}

func isUpdate(method string) bool {
	return method == workflowservice.WorkflowService_UpdateWorkflowExecution_FullMethodName ||
		method == workflowservice.WorkflowService_ExecuteMultiOperation_FullMethodName
}

func atUpdateLimit(err error) bool {
	exhausted, ok := errors.AsType[*serviceerror.ResourceExhausted](err)
	return ok && exhausted.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT
}

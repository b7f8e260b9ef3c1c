package app

import (
	"context"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// A workflow task comes to the worker that has the run in its cache, with the latest events of the history. When that worker
// does not report in time, the server gives the task to any worker, with the whole history: what the run does next may have
// been done already. So may what a task asks for that was given to this worker while it stood still.

// watchTasks configures a connection to call reassigned with each run that another worker may have had before. pauses
// returns how often this process stood still so far.
func watchTasks(o *client.ConnectionOptions, pauses func() int64, reassigned func(run string)) {
	o.DialOptions = append(o.DialOptions, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			before := pauses()
			err := invoke(ctx, method, req, reply, cc, opts...)
			if t, ok := reply.(task); ok && err == nil && (pauses() > before || isReassigned(t)) {
				reassigned(t.GetWorkflowExecution().GetRunId())
			}
			return err
		}))
}

// task is what a poll returns: a workflow task or that of an activity.
type task interface {
	GetWorkflowExecution() *commonpb.WorkflowExecution
	GetTaskToken() []byte
}

// isReassigned reports whether a task comes with the whole history and is not the first try of the first task of its run.
func isReassigned(t task) bool {
	of, ok := t.(*workflowservice.PollWorkflowTaskQueueResponse)
	events := of.GetHistory().GetEvents()
	return ok && len(events) > 0 && events[0].GetEventId() == 1 && (of.GetPreviousStartedEventId() > 0 || of.GetAttempt() > 1)
}

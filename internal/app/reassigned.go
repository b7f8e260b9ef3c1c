package app

import (
	"context"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// A workflow task comes to the worker that has the run in its cache, with the latest events of the history. When that worker
// does not report in time, the server gives the task to any worker, with the whole history: what the run does next may have
// been done already.

// watchTasks configures a connection to call reassigned with each run that another worker may have had before.
func watchTasks(o *client.ConnectionOptions, reassigned func(run string)) {
	o.DialOptions = append(o.DialOptions, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			err := invoke(ctx, method, req, reply, cc, opts...)
			if task, ok := reply.(*workflowservice.PollWorkflowTaskQueueResponse); ok && err == nil && isReassigned(task) {
				reassigned(task.GetWorkflowExecution().GetRunId())
			}
			return err
		}))
}

// isReassigned reports whether a task comes with the whole history and is not the first try of the first task of its run.
func isReassigned(task *workflowservice.PollWorkflowTaskQueueResponse) bool {
	events := task.GetHistory().GetEvents()
	return len(events) > 0 && events[0].GetEventId() == 1 && (task.GetPreviousStartedEventId() > 0 || task.GetAttempt() > 1)
}

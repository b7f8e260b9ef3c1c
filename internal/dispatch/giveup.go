package dispatch

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// giveUpAfter is how long an event is tried before its own fault is looked for. A frontend learns of new search
	// attributes within a minute, and a worker that is rolled out is back by then.
	giveUpAfter = 2 * time.Minute
	// diagnoseTimeout bounds the look for the fault.
	diagnoseTimeout = 5 * time.Second
)

// givenUp decides whether an event that Temporal does not accept is itself to blame: then another try does not help, and
// the events behind it wait for nothing. It is nil while Temporal or the workers may be to blame, however long: an outage
// makes no dead letters.
func (dp *Dispatcher) givenUp(ctx context.Context, err error, id string, a Arrival) *Rejection {
	if a.Tries.Count == 0 || time.Since(a.Tries.First) < giveUpAfter || unavailable(err) {
		return nil
	}
	if invalid, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		return Rejectf(fault.Config, "Temporal rejects the event: %s: check that the search attributes exist (starter setup)",
			invalid.Message)
	}
	if dp.taskFails(ctx, id) {
		return Rejectf(fault.Internal, "the workflow task of the conversation fails again and again: see the worker's log, then "+
			"terminate run %s, whose events a new run answers", id)
	}
	return nil
}

// unavailable reports whether Temporal cannot be reached, is overloaded or denies access: the error is not
// about one event.
func unavailable(err error) bool {
	var service serviceerror.ServiceError
	if !errors.As(err, &service) {
		return false
	}
	switch service.(type) {
	case *serviceerror.Unavailable, *serviceerror.ResourceExhausted, *serviceerror.PermissionDenied,
		*serviceerror.NamespaceNotFound, *serviceerror.NamespaceUnavailable:
		return true
	}
	return false
}

// taskFails reports whether the latest task of a run failed, which is more than that no worker has answered it: code that
// fails on a history fails every time.
func (dp *Dispatcher) taskFails(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnoseTimeout) // the try may have used its time up
	defer cancel()
	described, err := dp.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil || described.GetPendingWorkflowTask().GetAttempt() <= 1 {
		return false
	}
	latest, err := dp.Temporal.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx,
		&workflowservice.GetWorkflowExecutionHistoryReverseRequest{
			Namespace: dp.Namespace, Execution: described.GetWorkflowExecutionInfo().GetExecution(), MaximumPageSize: 10,
		})
	if err != nil {
		return false
	}
	for _, e := range latest.GetHistory().GetEvents() {
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			return true
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
			return false
		}
	}
	return false
}

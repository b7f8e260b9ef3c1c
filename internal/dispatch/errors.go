package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// lostUpdate is the type of the server's error for a run that ended after it had accepted an Update and before it answered
// it (go.temporal.io/server, service/history/workflow/update).
const lostUpdate = "AcceptedUpdateCompletedWorkflow"

var (
	// ErrDuplicate is the error for an event that a run has taken before.
	ErrDuplicate = errors.New("the event was accepted before")
	// ErrNoPlace means that the recovery of a run that ended early has to wait for others of the tenant.
	ErrNoPlace = errors.New("as many ended runs of the tenant are being recovered as may be at a time")
	// errBehind: what the conversation's ended run has left goes first, and is not recovered yet.
	errBehind = errors.New("the event waits for those that the conversation's ended run has left")
	// errBusy: the conversation's run is about to continue as new.
	errBusy = errors.New("the conversation's run is about to continue as new")
	// errLimit: the conversation's run has as many unanswered events as it takes, which may last as long as its step.
	errLimit = errors.New("the conversation's run has as many unanswered events as it takes")
)

// Rejection is a fault that makes an event a dead letter, unlike a fault that only explains a failed try.
type Rejection struct{ Fault *fault.Fault }

func (r *Rejection) Error() string { return r.Fault.Error() }
func (r *Rejection) Unwrap() error { return r.Fault }

// Rejectf returns the error that makes an event a dead letter. The detail must hold neither secrets nor the event's content.
func Rejectf(kind fault.Kind, format string, args ...any) *Rejection {
	return &Rejection{Fault: fault.New(kind, format, args...)}
}

// Overloaded reports whether a try failed because Temporal has more work than it can finish. The limits of one workflow,
// such as its unfinished Updates, say nothing about the others.
func Overloaded(err error) bool {
	if exhausted, ok := errors.AsType[*serviceerror.ResourceExhausted](err); ok {
		return exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT &&
			exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
	}
	switch RetryKind(err) {
	case "timeout", "deadlineexceeded", "unavailable":
		return true
	}
	return false
}

// Passing reports whether a try failed for what ends at some time and is not the event's fault: Temporal is away, overloaded
// or denies access, the conversation's run has no room, for example while its step waits for a callback, or the recovery of
// the run before it has no place.
func Passing(err error) bool {
	return Overloaded(err) || unavailable(err) || errors.Is(err, errBusy) || errors.Is(err, errLimit) ||
		errors.Is(err, ErrNoPlace)
}

// RetryKind returns the gRPC code of Temporal's answer in lower case, for logs and metrics; "timeout" for a try that was cut
// off, "busy" or "limit" for a run that takes no event now, "recovering" for an event that waits for those before it, and
// "other".
func RetryKind(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timeout"
	}
	if errors.Is(err, errBusy) {
		return "busy"
	}
	if errors.Is(err, errLimit) {
		return "limit"
	}
	if service, ok := errors.AsType[serviceerror.ServiceError](err); ok {
		return strings.ToLower(service.Status().Code().String())
	}
	if errors.Is(err, errBehind) {
		return "recovering"
	}
	return "other"
}

// resultOf returns the result of an Update that has ended already, nil when it was accepted and runs. The error is the
// failure of one that was rejected. Asking with a context that has ended returns without waiting.
func resultOf(handle client.WorkflowUpdateHandle) (*step.Result, error) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var result step.Result
	err := handle.Get(ended, &result)
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return nil, failure
	}
	if err != nil {
		return nil, nil //nolint:nilerr // it has no result yet
	}
	return &result, nil
}

// lost reports whether the event was accepted by a run that ended without answering it.
func lost(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.Type() == lostUpdate
}

// answered is the one place that turns Temporal's answer into what becomes of the event: nil when the event was accepted.
func (dp *Dispatcher) answered(ctx context.Context, err error, id string, e schemas.Event, a Arrival) error {
	if err == nil || errors.Is(err, errBehind) { // it was not offered
		return err
	}
	_, started := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err)
	if started || errors.Is(err, ErrDuplicate) {
		return ErrDuplicate
	}
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		switch failure.Type() {
		case step.RejectedDuplicate:
			return ErrDuplicate
		case step.RejectedBusy:
			return errBusy
		case step.RejectedLimit:
			return errLimit
		case step.RejectedTooLarge:
			return Rejectf(fault.TooLarge, "%s", failure.Message())
		}
	}
	if rejected := dp.givenUp(ctx, err, id, a); rejected != nil {
		dp.Log.ErrorContext(ctx, "event given up", "workflow", id, "event", e.ID, "type", e.Type, "attempt", a.Tries.Count,
			"kind", rejected.Fault.Kind, "error", err, "hint", rejected.Fault.Message)
		return rejected
	}
	return fmt.Errorf("hand event %s to %s: %w", e.ID, id, err)
}

package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// deliveryMax bounds an event together with its plan as they travel to Temporal, in bytes. Temporal takes 2 MiB; the
	// activity that retries a webhook carries the conversation's entities besides.
	deliveryMax = 5 << 18
)

// lostUpdate is the type of the server's error for a run that ended after it had accepted an Update and before it answered
// it (go.temporal.io/server, service/history/workflow/update).
const lostUpdate = "AcceptedUpdateCompletedWorkflow"

var (
	// errDuplicate: the conversation knows the event already.
	errDuplicate = errors.New("the event was accepted before")
	// errBusy: the conversation's run is about to continue as new.
	errBusy = errors.New("the conversation's run is about to continue as new")
	// errLimit: the conversation's run has as many unanswered events as it takes, which may last as long as its step.
	errLimit = errors.New("the conversation's run has as many unanswered events as it takes")
)

// rejection is a fault that makes an event a dead letter, unlike a fault that only explains a failed try.
type rejection struct{ fault *fault.Fault }

func (r *rejection) Error() string { return r.fault.Error() }
func (r *rejection) Unwrap() error { return r.fault }

// rejectf returns the error that makes an event a dead letter. The detail must hold neither secrets nor the event's content.
func rejectf(kind fault.Kind, format string, args ...any) *rejection {
	return &rejection{fault: fault.New(kind, format, args...)}
}

// outcomeOf returns the outcome of an event for the result of handing it over. A duplicate is acknowledged; every error
// that is not a rejection is retried.
func outcomeOf(err error) eventreader.Outcome {
	if err == nil || errors.Is(err, errDuplicate) {
		return eventreader.Ack()
	}
	if rejected, ok := errors.AsType[*rejection](err); ok {
		return eventreader.DeadLetter(rejected.fault.Kind, rejected.fault.Message)
	}
	if overloaded(err) {
		return eventreader.Overloaded(retryKind(err), err)
	}
	return eventreader.Retry(retryKind(err), err)
}

// overloaded reports whether a try failed because Temporal has more work than it can finish. The limits of one workflow,
// such as its unfinished Updates, say nothing about the others.
func overloaded(err error) bool {
	if exhausted, ok := errors.AsType[*serviceerror.ResourceExhausted](err); ok {
		return exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT &&
			exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
	}
	switch retryKind(err) {
	case "timeout", "deadlineexceeded", "unavailable":
		return true
	}
	return false
}

// retryKind is the gRPC code of Temporal's answer in lower case, "timeout" for a try that was cut off.
func retryKind(err error) string {
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
	return "other"
}

// fits rejects what Temporal would never take, before it is asked.
func fits(d step.Delivery) *rejection {
	if d.Size <= deliveryMax/8 { // no encoding makes it eight times as long
		return nil
	}
	payload, err := schemas.Marshal(d)
	if err != nil {
		return rejectf(fault.BadEvent, "the event cannot be encoded as JSON")
	}
	if len(payload) > deliveryMax {
		return rejectf(fault.TooLarge, "the event with its step takes %d bytes, at most %d are possible", len(payload),
			deliveryMax)
	}
	return nil
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

// answered is the one place that turns Temporal's answer into what becomes of the message: nil when the event was accepted.
func (i *Intake) answered(ctx context.Context, err error, id string, e schemas.Event, a arrival) error {
	if err == nil {
		return nil
	}
	_, started := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err)
	if started || errors.Is(err, errDuplicate) {
		return errDuplicate
	}
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		switch failure.Type() {
		case step.RejectedDuplicate:
			return errDuplicate
		case step.RejectedBusy:
			return errBusy
		case step.RejectedLimit:
			return errLimit
		case step.RejectedTooLarge:
			return rejectf(fault.TooLarge, "%s", failure.Message())
		}
	}
	if rejected := i.givenUp(ctx, err, id, a); rejected != nil {
		i.Log.ErrorContext(ctx, "event given up", "workflow", id, "event", e.ID, "type", e.Type, "attempt", a.tries.count,
			"kind", rejected.fault.Kind, "error", err, "hint", rejected.fault.Message)
		return rejected
	}
	return fmt.Errorf("hand event %s to %s: %w", e.ID, id, err)
}

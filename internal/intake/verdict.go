package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	// idMax bounds an event's id, in bytes: with tenant, bot and conversation it makes a workflow id, which Temporal takes up
	// to 1,000.
	idMax = 700
	// invalidFor is how long an event that Temporal calls invalid is tried again: a frontend learns of new search attributes
	// within a minute.
	invalidFor = 2 * time.Minute
)

// lostUpdate is the type by which the server says that a run ended after it had accepted an Update and before it answered
// it (go.temporal.io/server, service/history/workflow/update).
const lostUpdate = "AcceptedUpdateCompletedWorkflow"

// errDuplicate: the conversation knows the event already.
var errDuplicate = errors.New("the event was accepted before")

// rejection is a fault that makes an event a dead letter, unlike a fault that only explains a failed try.
type rejection struct{ fault *fault.Fault }

func (r *rejection) Error() string { return r.fault.Error() }
func (r *rejection) Unwrap() error { return r.fault }

// reject returns the error that makes an event a dead letter. The detail must hold neither secrets nor the event's content.
func reject(kind fault.Kind, detail string) error {
	return &rejection{fault: fault.New(kind, "%s", detail)}
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
	return eventreader.Retry(retryKind(err), err)
}

// retryKind is the gRPC code of Temporal's answer in lower case, "timeout" for a try that was cut off.
func retryKind(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timeout"
	}
	var service serviceerror.ServiceError
	if errors.As(err, &service) {
		return strings.ToLower(service.Status().Code().String())
	}
	return "other"
}

// fits refuses what Temporal would never take, before it is asked.
func fits(m *eventreader.Message, d step.Delivery) error {
	if len(d.Event.ID) > idMax {
		return reject(fault.BadEvent, fmt.Sprintf("/id: %d bytes, at most %d are possible", len(d.Event.ID), idMax))
	}
	if len(m.Data) <= deliveryMax/8 { // no encoding makes it eight times as long
		return nil
	}
	payload, err := schemas.Marshal(d)
	if err != nil {
		return reject(fault.BadEvent, "the event cannot be written as JSON")
	}
	if len(payload) > deliveryMax {
		return reject(fault.TooLarge, fmt.Sprintf("the event with its step takes %d bytes, at most %d are possible",
			len(payload), deliveryMax))
	}
	return nil
}

// refusal is the failure with which an Update has ended already, nil when it was accepted and runs or has succeeded. Asking
// with a context that has ended gets an answer without waiting for one.
func refusal(handle client.WorkflowUpdateHandle) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if failure, ok := errors.AsType[*temporal.ApplicationError](handle.Get(ended, nil)); ok {
		return failure
	}
	return nil
}

// lost says that the event was accepted by a run that is gone.
func lost(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.Type() == lostUpdate
}

// verdict is the one place that turns Temporal's answer into what becomes of the message.
func (i *Intake) verdict(err error, id string, e schemas.Event, received time.Time) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return errDuplicate
	}
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		switch failure.Type() {
		case step.RejectedDuplicate:
			return errDuplicate
		case step.RejectedTooLarge:
			return reject(fault.TooLarge, failure.Message())
		}
	}
	if invalid, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		i.Log.Error("Temporal calls the event invalid: are the search attributes there? Run \"starter setup\"",
			"workflow", id, "event", e.ID, "type", e.Type, "error", invalid.Message)
		if time.Since(received) > invalidFor {
			return reject(fault.Config, "Temporal refuses the event: "+invalid.Message)
		}
		return fmt.Errorf("hand event %s to %s: %w", e.ID, id, err)
	}
	i.Log.Warn("the event is not handed over yet", "workflow", id, "event", e.ID, "type", e.Type, "error", err)
	return fmt.Errorf("hand event %s to %s: %w", e.ID, id, err)
}

package intake

import (
	"errors"

	"github.com/hookturn/hookturn/internal/dispatch"
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

// outcomeOf returns the outcome of an event for the result of handing it over. A duplicate is acknowledged; every error
// that is not a rejection is retried, or waits.
func outcomeOf(err error) eventreader.Outcome {
	if err == nil || errors.Is(err, dispatch.ErrDuplicate) {
		return eventreader.Ack()
	}
	if rejected, ok := errors.AsType[*dispatch.Rejection](err); ok {
		return eventreader.DeadLetter(rejected.Fault.Kind, rejected.Fault.Message)
	}
	if waiting, ok := errors.AsType[*behind](err); ok {
		return waiting.outcome()
	}
	if dispatch.Overloaded(err) {
		return eventreader.Overloaded(dispatch.RetryKind(err), err)
	}
	return eventreader.Retry(dispatch.RetryKind(err), err)
}

// fits rejects what Temporal would never take, before it is asked.
func fits(d step.Delivery) *dispatch.Rejection {
	if d.Size <= deliveryMax/8 { // no encoding makes it eight times as long
		return nil
	}
	payload, err := schemas.Marshal(d)
	if err != nil {
		return dispatch.Rejectf(fault.BadEvent, "the event cannot be encoded as JSON")
	}
	if len(payload) > deliveryMax {
		return dispatch.Rejectf(fault.TooLarge, "the event with its step takes %d bytes, at most %d are possible", len(payload),
			deliveryMax)
	}
	return nil
}

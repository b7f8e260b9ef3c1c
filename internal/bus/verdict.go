package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/hookturn/hookturn/internal/fault"
)

// Handler handles one event. Its error is the verdict: nil acknowledges, an error made by Reject stores a dead letter,
// and any other error keeps the event at the head of its conversation, to be tried again after a while.
type Handler func(ctx context.Context, m *Message) error

// panicsMax is how often an event may make its handler panic before it becomes a dead letter.
const panicsMax = 5

// Reject is the error by which a handler gives an event up: it becomes a dead letter with this failure word. The detail
// is for operators and must hold neither secrets nor the event's content.
func Reject(kind fault.Kind, detail string) error {
	return &rejection{fault: fault.New(kind, "%s", detail)}
}

// rejection sets a fault that gives an event up apart from one that only says why it did not work this time.
type rejection struct{ fault *fault.Fault }

func (r *rejection) Error() string { return r.fault.Error() }
func (r *rejection) Unwrap() error { return r.fault }

// panicked is a handler's panic as an error. The value of the panic is left out of its text, it may hold a message
// body.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("handler panicked with a %T", p.value) }

type action int

const (
	ack action = iota
	reject
	retry
)

func (a action) String() string { return [...]string{"ack", "dead_letter", "retry"}[a] }

// verdict is what becomes of an event after a try; reason is set for reject.
type verdict struct {
	action action
	reason *fault.Fault
}

// decide is the one place where a handler's error becomes a verdict. panics counts the event's panics, this one
// included.
func decide(err error, panics int) verdict {
	var rejected *rejection
	var crash *panicked
	switch {
	case err == nil:
		return verdict{action: ack}
	case errors.As(err, &rejected):
		return verdict{action: reject, reason: rejected.fault}
	case errors.As(err, &crash) && panics >= panicsMax:
		return verdict{action: reject, reason: fault.Wrap(fault.Internal, err, "handler panicked %d times", panics)}
	default:
		return verdict{action: retry}
	}
}

package eventreader

import (
	"context"
	"fmt"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// Handler handles one event and returns its outcome. It may be called again for an event that it has handled: it must
// recognize a repeated event and return Ack.
type Handler func(ctx context.Context, m *Message) Outcome

// panicsMax is the number of panics of the handler after which an event becomes a dead letter.
const panicsMax = 5

// Outcome is the result of one call of the handler for an event. The zero value retries.
type Outcome struct {
	action action
	cause  error  // of a retry
	kind   string // of a retry, for logs and metrics
	// overload reports whether the call failed because a server is overloaded.
	overload bool
	full     bool // the call was Options.Full
	// began and ended are when the handler was called and when it returned.
	began, ended time.Time
	reason       *fault.Fault // of a dead letter
	// held is the context whose end is the time of the next try; nil: after a backoff.
	held context.Context //nolint:containedctx // it is the wait itself
	// latest is when a held event is tried at the latest; the zero time: when held ends.
	latest time.Time
}

type action int

const (
	actionRetry action = iota
	actionAck
	actionDeadLetter
)

func (a action) String() string { return [...]string{"retry", "ack", "dead_letter"}[a] }

// Ack acknowledges the event.
func Ack() Outcome { return Outcome{action: actionAck} }

// Retry keeps the event at the head of its conversation and calls the handler again after a backoff. kind is a short
// word for logs and metrics ("unavailable"), from a small set; cause is for the log.
func Retry(kind string, cause error) Outcome { return Outcome{kind: kind, cause: cause} }

// Hold keeps the event at the head of its conversation, without a slot, and calls the handler again when a context ends. It
// is not a failure: nothing is logged, and other conversations are not slowed down.
func Hold(until context.Context, kind string) Outcome { return Outcome{kind: kind, held: until} }

// HoldUntil is Hold for an event that is tried at a time at the latest.
func HoldUntil(until context.Context, latest time.Time, kind string) Outcome {
	return Outcome{kind: kind, held: until, latest: latest}
}

// Overloaded returns a retry for a call that failed because a server is overloaded or did not answer in time: the reader
// then calls the handler for fewer conversations of the tenant at a time.
func Overloaded(kind string, cause error) Outcome {
	return Outcome{kind: kind, cause: cause, overload: true}
}

// DeadLetter stores the event as a dead letter and acknowledges it. The detail is for operators and must contain neither
// secrets nor the event's content.
func DeadLetter(reason fault.Kind, detail string) Outcome {
	return Outcome{action: actionDeadLetter, reason: fault.New(reason, "%s", detail)}
}

// acknowledgement returns what JetStream receives of an event that was handled.
func (o Outcome) acknowledgement() string {
	if o.action == actionDeadLetter {
		return protocolTerm + " " + string(o.reason.Kind)
	}
	return protocolAck
}

// Held reports whether the event waits for the end of a context.
func (o Outcome) Held() bool { return o.held != nil }

// Until returns the context for whose end the event waits, nil when it does not wait.
func (o Outcome) Until() context.Context { return o.held }

// Latest returns when a held event is tried at the latest, the zero time when that is the end of the context.
func (o Outcome) Latest() time.Time { return o.latest }

// Acked reports whether the event is acknowledged.
func (o Outcome) Acked() bool { return o.action == actionAck }

// Retried reports whether the handler is called again for the event.
func (o Outcome) Retried() bool { return o.action == actionRetry }

// Result returns "ack", "retry" or "dead_letter".
func (o Outcome) Result() string { return o.action.String() }

// Err returns the cause of a retry or the reason of a dead letter, nil for Ack.
func (o Outcome) Err() error {
	switch {
	case o.reason != nil:
		return o.reason
	case o.action == actionRetry && o.cause == nil:
		return fmt.Errorf("handler asked for a retry: %s", o.kind)
	}
	return o.cause
}

// Reason returns the error code of a dead letter, "" for other outcomes.
func (o Outcome) Reason() fault.Kind {
	if o.reason == nil {
		return ""
	}
	return o.reason.Kind
}

// panicOutcome returns the outcome of a call that panicked. Its text does not contain the value of the panic, which may
// contain a message body.
func panicOutcome(value any, panics int) Outcome {
	err := fmt.Errorf("handler panicked with a %T", value)
	if panics >= panicsMax {
		return Outcome{
			action: actionDeadLetter,
			reason: fault.Wrap(fault.Internal, err, "handler panicked %d times", panics),
		}
	}
	return Retry("panic", err)
}

// Package fault describes failures by the error codes of the contract.
//
// A Fault passes from an activity into the workflow's history, and from there into the reply to the bot engine. Its code
// decides whether the step is retried; its message is for the bot's builder. A message never contains a secret, a response
// body or the query of a URL. New and Wrap keep it valid UTF-8 and at most MessageMax bytes long, as Temporal requires.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// MessageMax is the longest message of a fault, in bytes. Temporal keeps 4 KiB of a failure; half of it leaves room for
// the wrapping that the server adds.
const MessageMax = 2 << 10

// Fault is one failure. Status is 0 when there was no HTTP answer.
type Fault struct {
	Kind    Kind   `json:"kind"`
	Status  int    `json:"status,omitempty"`
	Message string `json:"message"`
	// RetryAfter is the delay that the endpoint asked for, 0 when it did not.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Passing marks a failure that can be retried although its kind or status is final: another process may have what this
	// one does not have, or the next attempt sends other credentials.
	Passing bool `json:"passing,omitempty"`

	cause error
}

// New returns a new fault with a message for the bot's builder.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: clean(fmt.Sprintf(format, args...))}
}

// Wrap returns a new fault whose cause is visible to errors.Is and errors.As. The text of the cause is not part of the
// message, because it can contain addresses or bodies.
func Wrap(kind Kind, cause error, format string, args ...any) *Fault {
	f := New(kind, format, args...)
	f.cause = cause
	return f
}

// Of returns the fault in an error's chain. Any other error becomes a fault of kind Internal without its text. Of(nil) is
// nil.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Wrap(Internal, err, "internal error: see the worker's log")
}

func (f *Fault) Error() string {
	if f.Status != 0 {
		return fmt.Sprintf("%s %d: %s", f.Kind, f.Status, f.Message)
	}
	return fmt.Sprintf("%s: %s", f.Kind, f.Message)
}

// Unwrap returns the cause given to Wrap.
func (f *Fault) Unwrap() error { return f.cause }

// Retryable reports whether another attempt can succeed. For an HTTP status, the table in section 3 of the contract decides;
// for other failures, the kind.
func (f *Fault) Retryable() bool {
	if f.Kind == Status && !f.Passing {
		return RetryableStatus(f.Status)
	}
	return f.Passing || f.Kind.Retryable()
}

// RetryableStatus reports whether the contract lists the status as temporary.
func RetryableStatus(status int) bool {
	switch status {
	case 408, 425, 429, 500, 502, 503, 504:
		return true
	}
	return false
}

func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > MessageMax {
		s = strings.ToValidUTF8(s[:MessageMax-3], "") + "..."
	}
	return s
}

// Package fault says why something failed, in the closed words of the contract.
//
// A Fault travels: from an activity into a workflow's history, from there into the reply that the bot engine reads. Its
// word decides whether another attempt is worth it, its message is for the bot's builder. A message never holds a secret,
// a response body or a URL's query; New and Wrap keep it valid UTF-8 and at most MessageMax bytes, because Temporal cannot
// store anything else.
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

// Fault is one failure. The zero value of Status means that there was no HTTP answer.
type Fault struct {
	Kind    Kind   `json:"kind"`
	Status  int    `json:"status,omitempty"`
	Message string `json:"message"`
	// RetryAfter is the delay that the endpoint asked for, 0 when it did not.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Passing is true for a failure that may pass although its kind or status is final: this process lacks what another one
	// has, or the next try has something else to show.
	Passing bool `json:"passing,omitempty"`

	cause error
}

// New makes a fault of a kind with a message for the bot's builder.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: clean(fmt.Sprintf(format, args...))}
}

// Wrap makes a fault of a kind whose cause stays visible to errors.Is and errors.As. The cause's text is not copied into
// the message: it may hold addresses or bodies.
func Wrap(kind Kind, cause error, format string, args ...any) *Fault {
	f := New(kind, format, args...)
	f.cause = cause
	return f
}

// Of finds the fault in an error's chain; any other error reads as Internal, its text kept out of the message. Of(nil) is
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

// Unwrap gives the cause that Wrap was told.
func (f *Fault) Unwrap() error { return f.cause }

// Retryable says whether another attempt may end better. An HTTP status decides by the table of the contract, section 3;
// every other failure by its kind.
func (f *Fault) Retryable() bool {
	if f.Kind == Status && !f.Passing {
		return RetryableStatus(f.Status)
	}
	return f.Passing || f.Kind.Retryable()
}

// RetryableStatus is the contract's list: the statuses that say "not now" rather than "no".
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

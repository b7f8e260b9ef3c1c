package httpapi

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// Problem is an error that a client reads: the body of an error response (RFC 9457).
type Problem struct {
	Title  string     `json:"title"`
	Status int        `json:"status"`
	Detail string     `json:"detail"`
	Kind   fault.Kind `json:"kind,omitempty"` // an error code, contract section 7
	// Pointer names the member of the body that is wrong (RFC 6901).
	Pointer string `json:"pointer,omitempty"`

	header     http.Header
	cause      error  // for the log only: it may name addresses of the installation
	event      string // what the log line reads; "": nothing is logged
	attributes []any
}

// Error returns what the client reads.
func (p *Problem) Error() string { return p.Detail }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }

// With adds a header to the response.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// Because adds the cause, which Serve logs as a warning with the event and its attributes. The client does not read it.
func (p *Problem) Because(cause error, event string, attributes ...any) *Problem {
	p.cause, p.event, p.attributes = cause, event, attributes
	return p
}

func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	_ = Answer(w, "application/problem+json", p.Status, p) // a problem is JSON in every case: text and a number
}

// Reject returns a new problem.
func Reject(status int, kind fault.Kind, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind}
}

// RejectAt returns a new problem of a body in which one member is wrong.
func RejectAt(pointer, reason string) *Problem {
	p := Reject(http.StatusBadRequest, fault.BadEvent, strings.TrimSpace(strings.ToValidUTF8(pointer, "_")+" "+reason))
	p.Pointer = pointer
	return p
}

// RejectFor returns a new problem that is over after a time, rounded up to seconds.
func RejectFor(wait time.Duration, kind fault.Kind, detail string) *Problem {
	return Reject(http.StatusServiceUnavailable, kind, detail).
		With("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
}

// Failed returns the problem of a request that failed on this side. Only a server that is away is worth another try: then
// the status is 503, and for a rejection or a fault of hookturn it is 4xx or 500.
func Failed(err error, what string) *Problem {
	var f *fault.Fault
	switch {
	case errors.As(err, &f) && f.Kind == fault.TooLarge:
		return Reject(http.StatusRequestEntityTooLarge, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.QueueFull:
		return RejectFor(10*time.Second, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.BadEvent:
		return Reject(http.StatusBadRequest, f.Kind, f.Message)
	case errors.As(err, &f):
		return Reject(http.StatusInternalServerError, f.Kind, f.Message)
	case natsclient.IsStreamFull(err), natsclient.IsBusy(err):
		return RejectFor(10*time.Second, fault.QueueFull, what+": the store is full: try again later")
	case natsclient.IsAway(err) || temporalAway(err):
		return RejectFor(time.Second, fault.Internal, what+": a server of the installation cannot be reached now: try again")
	}
	return Reject(http.StatusInternalServerError, fault.Internal,
		what+": internal error: report the time, and the X-Request-Id if the response has one, to the operator")
}

// temporalAway reports whether an error means that Temporal cannot take requests now.
func temporalAway(err error) bool {
	var unavailable *serviceerror.Unavailable
	var exhausted *serviceerror.ResourceExhausted
	var late *serviceerror.DeadlineExceeded
	var cancelled *serviceerror.Canceled
	var namespace *serviceerror.NamespaceNotFound
	return errors.As(err, &unavailable) || errors.As(err, &exhausted) || errors.As(err, &late) ||
		errors.As(err, &cancelled) || errors.As(err, &namespace)
}

package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Title  string     `json:"title"`
	Status int        `json:"status"`
	Detail string     `json:"detail"`
	Kind   fault.Kind `json:"kind,omitempty"` // a error code, contract section 7
	// Pointer names the member of the body that is wrong (RFC 6901).
	Pointer string `json:"pointer,omitempty"`
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, kind fault.Kind, detail string) {
	answer(w, "application/problem+json", status, problem{
		Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind,
	})
}

// refuseAt answers a body in which one member is wrong.
func refuseAt(w http.ResponseWriter, pointer, reason string) {
	answer(w, "application/problem+json", http.StatusBadRequest, problem{
		Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Kind: fault.BadEvent,
		Detail: strings.TrimSpace(strings.ToValidUTF8(pointer, "_") + " " + reason), Pointer: pointer,
	})
}

// refuseField answers an error that knows which member is wrong.
func refuseField(w http.ResponseWriter, err error) {
	var event *schemas.InvalidError
	var field *twoway.FieldError
	switch {
	case errors.As(err, &event):
		refuseAt(w, event.Pointer, event.Message)
	case errors.As(err, &field):
		refuseAt(w, field.Pointer, field.Reason)
	default:
		refuse(w, http.StatusBadRequest, fault.BadEvent, err.Error())
	}
}

// refuseFor answers with a problem that is over after a time, rounded up to seconds.
func refuseFor(w http.ResponseWriter, wait time.Duration, kind fault.Kind, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	refuse(w, http.StatusServiceUnavailable, kind, detail)
}

// refuseFailed answers a request that failed on this side. Only a server that is away is worth another try: then the answer
// is 503, and a rejection or a fault of hookturn is 4xx or 500.
func refuseFailed(w http.ResponseWriter, err error, what string) {
	var f *fault.Fault
	switch {
	case errors.As(err, &f) && f.Kind == fault.TooLarge:
		refuse(w, http.StatusRequestEntityTooLarge, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.QueueFull:
		refuseFor(w, 10*time.Second, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.BadEvent:
		refuse(w, http.StatusBadRequest, f.Kind, f.Message)
	case errors.As(err, &f):
		refuse(w, http.StatusInternalServerError, f.Kind, f.Message)
	case bus.IsAway(err) || temporalAway(err):
		refuseFor(w, time.Second, fault.Internal, what+": a server of the installation cannot be reached now: try again")
	default:
		refuse(w, http.StatusInternalServerError, fault.Internal, what+": the log of the gateway has the reason")
	}
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

func answer(w http.ResponseWriter, contentType string, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a write error means that the client has disconnected
}

func notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, "", "no such path: "+r.URL.Path)
}

// only answers every method but those of a path.
func only(methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		refuse(w, http.StatusMethodNotAllowed, "", "use "+strings.Join(methods, " or "))
	}
}

// Package httpapi is what the HTTP APIs of hookturn have in common: error responses as problems (RFC 9457), the reading of
// bodies, and bearer tokens.
package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
)

// Problem is the body of a refusal (RFC 9457).
type Problem struct {
	Title  string     `json:"title"`
	Status int        `json:"status"`
	Detail string     `json:"detail"`
	Kind   fault.Kind `json:"kind,omitempty"` // a error code, contract section 7
	// Pointer names the member of the body that is wrong (RFC 6901).
	Pointer string `json:"pointer,omitempty"`
}

// Refuse answers with a problem.
func Refuse(w http.ResponseWriter, status int, kind fault.Kind, detail string) {
	Answer(w, "application/problem+json", status, Problem{
		Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind,
	})
}

// RefuseAt answers a body in which one member is wrong.
func RefuseAt(w http.ResponseWriter, pointer, reason string) {
	Answer(w, "application/problem+json", http.StatusBadRequest, Problem{
		Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Kind: fault.BadEvent,
		Detail: strings.TrimSpace(strings.ToValidUTF8(pointer, "_") + " " + reason), Pointer: pointer,
	})
}

// RefuseFor answers with a problem that is over after a time, rounded up to seconds.
func RefuseFor(w http.ResponseWriter, wait time.Duration, kind fault.Kind, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	Refuse(w, http.StatusServiceUnavailable, kind, detail)
}

// RefuseFailed answers a request that failed on this side. Only a server that is away is worth another try: then the answer
// is 503, and a rejection or a fault of hookturn is 4xx or 500.
func RefuseFailed(w http.ResponseWriter, err error, what string) {
	var f *fault.Fault
	switch {
	case errors.As(err, &f) && f.Kind == fault.TooLarge:
		Refuse(w, http.StatusRequestEntityTooLarge, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.QueueFull:
		RefuseFor(w, 10*time.Second, f.Kind, f.Message)
	case errors.As(err, &f) && f.Kind == fault.BadEvent:
		Refuse(w, http.StatusBadRequest, f.Kind, f.Message)
	case errors.As(err, &f):
		Refuse(w, http.StatusInternalServerError, f.Kind, f.Message)
	case bus.IsAway(err) || temporalAway(err):
		RefuseFor(w, time.Second, fault.Internal, what+": a server of the installation cannot be reached now: try again")
	default:
		Refuse(w, http.StatusInternalServerError, fault.Internal, what+": the log of the gateway has the reason")
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

// Answer answers with a JSON document that caches do not keep.
func Answer(w http.ResponseWriter, contentType string, status int, body any) {
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

// NotFound answers a path that does not exist.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Refuse(w, http.StatusNotFound, "", "no such path: "+r.URL.Path)
}

// Only answers every method but those of a path.
func Only(methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		Refuse(w, http.StatusMethodNotAllowed, "", "use "+strings.Join(methods, " or "))
	}
}

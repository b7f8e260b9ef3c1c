package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Title  string     `json:"title"`
	Status int        `json:"status"`
	Detail string     `json:"detail"`
	Kind   fault.Kind `json:"kind,omitempty"` // a failure word, contract section 7
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, kind fault.Kind, detail string) {
	answer(w, "application/problem+json", status, problem{
		Title: http.StatusText(status), Status: status, Detail: detail, Kind: kind,
	})
}

// refuseFor answers with a problem that is over after a time, rounded up to seconds.
func refuseFor(w http.ResponseWriter, wait time.Duration, kind fault.Kind, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	refuse(w, http.StatusServiceUnavailable, kind, detail)
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
	_, _ = w.Write(text) // the client may be gone: there is nobody left to tell
}

func notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, "", "no such path: "+r.URL.Path)
}

// only answers every method but the one of a path.
func only(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", method)
		refuse(w, http.StatusMethodNotAllowed, "", "use "+method)
	}
}

package endpoint

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// flakyFailures is how many attempts of one step /flaky refuses.
const flakyFailures = 2

// flaky refuses the first attempts of a step with 503. Attempts belong together by their webhook-id or, where there is
// none, by conversation and step. The ledger remembers them, this one included.
func (e *Endpoint) flaky(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	this := entryOf(r, body)
	attempts := len(e.ledger.Select(func(other Entry) bool {
		switch {
		case other.Path != this.Path:
			return false
		case this.WebhookID != "":
			return other.WebhookID == this.WebhookID
		default:
			return other.Conversation == this.Conversation && other.Step == this.Step
		}
	}))
	if attempts <= flakyFailures {
		Answer{Response: []string{"try again"}}.Send(w, http.StatusServiceUnavailable)
		return
	}
	Text("Third time lucky.").Send(w, http.StatusOK)
}

// broken always fails.
func broken(w http.ResponseWriter, _ *http.Request) {
	Answer{Response: []string{"broken"}}.Send(w, http.StatusInternalServerError)
}

// slow answers after ?ms= milliseconds, unless the caller goes or the endpoint stops; then the connection is cut.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || ms < 0 {
		http.Error(w, "ms must be a number of milliseconds", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		Text("Thank you for waiting.").Send(w, http.StatusOK)
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// Echo describes a request to /echo. Its JSON is the text of the answer's message.
type Echo struct {
	Method       string `json:"method"`
	Path         string `json:"path"`
	Query        string `json:"query,omitempty"`
	WebhookID    string `json:"webhook_id,omitempty"`
	Attempt      int    `json:"attempt,omitempty"`
	Traceparent  string `json:"traceparent,omitempty"`
	Step         string `json:"step,omitempty"`
	Conversation string `json:"conversation,omitempty"`
	Size         int    `json:"size"`
}

// echo answers with what it has received. Headers that may hold a secret are not among it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	entry := entryOf(r, body)
	text, err := json.Marshal(Echo{
		Method: entry.Method, Path: entry.Path, Query: r.URL.RawQuery,
		WebhookID: entry.WebhookID, Attempt: entry.Attempt, Traceparent: r.Header.Get("traceparent"),
		Step: entry.Step, Conversation: entry.Conversation, Size: entry.Size,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	Text(string(text)).Send(w, http.StatusOK)
}

// status answers with the status in the path, and with the Retry-After of ?retry-after=.
func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "status must be from 200 to 599", http.StatusBadRequest)
		return
	}
	if wait := r.URL.Query().Get("retry-after"); wait != "" {
		w.Header().Set("Retry-After", wait)
	}
	if code >= 300 && code < 400 {
		w.Header().Set("Location", "/orders")
	}
	Answer{Status: code < 300, Response: []string{"status " + strconv.Itoa(code)}}.Send(w, code)
}

package endpoint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
)

const (
	// bodyMax is the longest body that is read; longer ones are answered 413.
	bodyMax = 1 << 20
	// bodyKept is how much of a body the ledger keeps.
	bodyKept = 64 << 10
)

// ConversationKey is how the ledger names a conversation of the haptik dialect, which has a number per user.
func ConversationKey(user string, no int) string { return user + "/" + strconv.Itoa(no) }

// ServeHTTP reads the body, records the request, lets the route answer into a buffer, records the end, and only then sends
// the answer, so that the ledger contains every request that was answered.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	answer := &buffered{ResponseWriter: w, header: http.Header{}}
	end := e.ledger.begin(entryOf(r, body))
	completed := false
	defer func() {
		if !completed { // A behaviour has panicked, to cut the connection for example.
			end(0, r.Context().Err() != nil)
		}
	}()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(answer, "body too large", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(answer, "body ended early", http.StatusBadRequest)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		e.route(r.URL.Path).ServeHTTP(answer, r)
	}
	completed = true
	end(answer.code(), r.Context().Err() != nil)
	answer.send()
}

func entryOf(r *http.Request, body []byte) Entry {
	attempt, _ := strconv.Atoi(r.Header.Get("hookturn-attempt"))
	entry := Entry{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(),
		Body: body[:min(len(body), bodyKept)], Size: len(body),
		WebhookID: r.Header.Get("webhook-id"), Attempt: attempt,
	}
	var seen struct {
		Step string `json:"step"`
		User struct {
			ID string `json:"user_id"`
		} `json:"user"`
		ConversationNo *int   `json:"conversation_no"`
		Subject        string `json:"subject"`
		Data           struct {
			Step string `json:"step"`
		} `json:"data"`
	}
	// What does not fit is left out: the ledger also records requests of other dialects and broken ones.
	_ = json.Unmarshal(body, &seen)
	entry.Step, entry.User, entry.Conversation = seen.Step, seen.User.ID, seen.Subject
	if entry.Step == "" {
		entry.Step = seen.Data.Step
	}
	if seen.ConversationNo != nil {
		entry.ConversationNo = *seen.ConversationNo
		entry.Conversation = ConversationKey(entry.User, entry.ConversationNo)
	}
	return entry
}

// buffered holds an answer back until send.
type buffered struct {
	http.ResponseWriter
	header   http.Header
	status   int
	body     bytes.Buffer
	hijacked bool
}

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// Hijack lets a behaviour take the connection, to send half an answer or to reset it.
func (b *buffered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	b.hijacked = true
	return http.NewResponseController(b.ResponseWriter).Hijack()
}

// code is the status for the ledger.
func (b *buffered) code() int {
	switch {
	case b.hijacked:
		return 0
	case b.status == 0:
		return http.StatusOK
	default:
		return b.status
	}
}

func (b *buffered) send() {
	if b.hijacked {
		return
	}
	maps.Copy(b.ResponseWriter.Header(), b.header)
	b.ResponseWriter.WriteHeader(b.code())
	_, _ = b.ResponseWriter.Write(b.body.Bytes()) // The caller may have closed the connection; the ledger records it.
}

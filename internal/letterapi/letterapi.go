// Package letterapi serves dead letters over HTTP: to an engine those of its tenant, to an operator those of all tenants.
package letterapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/schemas"
)

// Letters are the stored dead letters. *bus.DeadLetters is one.
type Letters interface {
	List(ctx context.Context, f bus.DeadLetterFilter) ([]bus.DeadLetter, error)
	Show(ctx context.Context, seq uint64) (bus.DeadLetter, error)
	Replay(ctx context.Context, seq uint64) (uint64, error)
}

// API serves dead letters. All fields are required.
type API struct {
	Letters Letters
	// Knows reports whether the conversation of a dead letter's event has answered it, and would not answer it again.
	Knows func(ctx context.Context, letter bus.DeadLetter) (bool, error)
	Log   *slog.Logger
}

// Caller is who sends a request whose token was checked.
type Caller struct {
	Tenant string // only dead letters of this tenant; "": of all, and those that belong to none
	Name   string // for the log
	// Audited replays a dead letter of a bot between the audit events of it; nil: without, for an engine.
	Audited func(of schemas.BotID, sequence uint64, replay func() error) error
}

const (
	pageDefault = 100
	pageMax     = 1000
	// replayTimeout bounds a replay.
	replayTimeout = 10 * time.Second
)

// Letter is a dead letter in a list.
type Letter struct {
	schemas.BotID

	Sequence     uint64     `json:"sequence"`
	Time         time.Time  `json:"time"`
	Conversation string     `json:"conversation"` // token of the event's subject
	Reason       fault.Kind `json:"reason"`
	Detail       string     `json:"detail"`
	Bytes        int        `json:"bytes"`
	Subject      string     `json:"subject"`
	Replayable   bool       `json:"replayable"`
}

// Page is the answer of List. After is the sequence behind which the next page begins; absent at the end.
type Page struct {
	DeadLetters []Letter `json:"dead_letters"`
	After       uint64   `json:"after,omitempty"`
}

// Shown is the answer of Show.
type Shown struct {
	Letter

	Header nats.Header `json:"header"`
	Data   []byte      `json:"data"` // the payload as it came, in base64
}

// Replayed is the answer of Replay.
type Replayed struct {
	Sequence uint64 `json:"sequence"` // of the event, in the stream of events
}

// List answers a page of dead letters, oldest first.
func (a API) List(w http.ResponseWriter, r *http.Request, c Caller) error {
	f, err := filterOf(r.URL.Query())
	if err != nil {
		return err
	}
	if c.Tenant != "" {
		f.Tenant = c.Tenant
	}
	found, err := a.Letters.List(r.Context(), f)
	if err != nil {
		return failed(err)
	}
	page := Page{DeadLetters: make([]Letter, 0, len(found))}
	for _, l := range found {
		page.DeadLetters = append(page.DeadLetters, letterOf(l))
	}
	if len(found) == f.Limit {
		page.After = found[len(found)-1].Sequence
	}
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, page)
}

// Show answers one dead letter with its headers and its payload.
func (a API) Show(w http.ResponseWriter, r *http.Request, c Caller) error {
	l, err := a.find(r, c)
	if err != nil {
		return err
	}
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, Shown{letterOf(l), l.Header, l.Data})
}

// Replay publishes the event of a dead letter again and deletes the dead letter. Repeated, it answers 404. A dead letter
// whose event is known to its conversation stays as it is: the event would not be answered.
func (a API) Replay(w http.ResponseWriter, r *http.Request, c Caller) error {
	l, err := a.find(r, c)
	if err != nil {
		return err
	}
	to, _ := schemas.ParseSubject(schemas.SubjectEvents, l.Subject)
	if !l.Replayable() || c.Tenant != "" && to.Tenant != c.Tenant {
		return httpapi.Reject(http.StatusConflict, fault.BadEvent,
			"the event's subject is not one of events: publish the event again under a valid one")
	}
	known, err := a.Knows(r.Context(), l)
	switch {
	case err != nil:
		return httpapi.Failed(err, "whether the conversation knows the event cannot be found out: try again").
			Because(err, "looking for the event of a dead letter failed")
	case known:
		return httpapi.Reject(http.StatusConflict, "", inspect.Known+": "+inspect.KnownHint)
	}
	var sequence uint64
	replay := func() (err error) {
		// A client that disconnects does not end it between the event's publication and the dead letter's deletion.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), replayTimeout)
		defer cancel()
		if sequence, err = a.Letters.Replay(ctx, l.Sequence); err != nil {
			return failed(err)
		}
		return nil
	}
	if c.Audited == nil {
		err = replay()
	} else {
		err = c.Audited(l.BotID, l.Sequence, replay)
	}
	if err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "dead letter replayed", "tenant", l.Tenant, "bot", l.Bot, "dead_letter", l.Sequence,
		"event_sequence", sequence,
		"by", c.Name)
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, Replayed{sequence})
}

// find returns the dead letter of the path. One of another tenant is like one that does not exist.
func (a API) find(r *http.Request, c Caller) (bus.DeadLetter, error) {
	seq, err := strconv.ParseUint(r.PathValue("sequence"), 10, 63)
	if err != nil || seq == 0 {
		return bus.DeadLetter{}, failed(bus.ErrNoDeadLetter)
	}
	l, err := a.Letters.Show(r.Context(), seq)
	if err == nil && c.Tenant != "" && l.Tenant != c.Tenant {
		err = bus.ErrNoDeadLetter
	}
	if err != nil {
		return bus.DeadLetter{}, failed(err)
	}
	return l, nil
}

func failed(err error) error {
	if errors.Is(err, bus.ErrNoDeadLetter) {
		return httpapi.Reject(http.StatusNotFound, "", "no such dead letter")
	}
	return httpapi.Failed(err, "the dead letters are not served").Because(err, "serving dead letters failed")
}

// filterOf reads the query of a list.
func filterOf(query url.Values) (bus.DeadLetterFilter, error) {
	f := bus.DeadLetterFilter{
		BotID:        schemas.BotID{Tenant: query.Get("tenant"), Bot: query.Get("bot")},
		Conversation: query.Get("conversation"), Reason: fault.Kind(query.Get("reason")), Limit: pageDefault,
	}
	for name, token := range map[string]string{"tenant": f.Tenant, "bot": f.Bot} {
		if token != "" && !schemas.IsToken(token) {
			return f, invalid(name, "of the form [A-Za-z0-9_-]{1,64}")
		}
	}
	var err error
	for name, into := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if text := query.Get(name); text != "" {
			if *into, err = time.Parse(time.RFC3339, text); err != nil {
				return f, invalid(name, "a time such as 2026-11-20T12:00:00Z")
			}
		}
	}
	if text := query.Get("after"); text != "" {
		if f.After, err = strconv.ParseUint(text, 10, 63); err != nil {
			return f, invalid("after", "the member after of the page before")
		}
	}
	if text := query.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > pageMax {
			return f, invalid("limit", "a number from 1 to "+strconv.Itoa(pageMax))
		}
	}
	return f, nil
}

func invalid(name, expected string) error {
	return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "invalid "+name+", expected "+expected)
}

func letterOf(l bus.DeadLetter) Letter {
	return Letter{
		BotID: l.BotID, Sequence: l.Sequence, Time: l.Time, Conversation: l.Conversation, Reason: l.Reason, Detail: l.Detail,
		Bytes: l.Size, Subject: l.Subject, Replayable: l.Replayable(),
	}
}

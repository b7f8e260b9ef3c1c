package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Media types of the CloudEvents HTTP binding.
const (
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
	mediaJSON       = httpapi.MediaJSON
)

// botAttribute is the CloudEvents extension attribute that names the bot: on NATS the subject does.
const botAttribute = "bot"

// rolloutWait is the Retry-After of a request that names a bot which another starter may have: its next one may reach that
// starter.
const rolloutWait = 2 * time.Second

// postedEvent is one event as it came over HTTP.
type postedEvent struct {
	schemas.ConversationKey

	id, eventType string
	document      json.RawMessage // in structured mode
	header        nats.Header
}

// eventAccepted is the body of the answer to a posted event.
type eventAccepted struct {
	Accepted  bool           `json:"accepted"`
	Duplicate bool           `json:"duplicate"`
	ID        string         `json:"id"`
	Reply     *schemas.Reply `json:"reply,omitempty"` // with wait, when it came in time
}

// takeEvent publishes one event for an engine without NATS: the same validation, the same stream, the same ids. With
// ?wait=10s it waits for the reply and answers 200 with it, or 202 when it does not come in time.
func (o Options) takeEvent(w http.ResponseWriter, r *http.Request) error {
	tenant, ok := o.EventTokens.tenant(httpapi.Bearer(r))
	if !ok {
		return httpapi.Unauthorized()
	}
	if err := o.enter(r, tenant); err != nil {
		return err
	}
	wait, err := waitOf(r)
	if err != nil {
		return err
	}
	e, err := o.readPosted(w, r, tenant)
	if err != nil {
		return err
	}
	if wait > 0 && !schemas.AnswersWaiting(e.eventType) {
		return o.publishAndWait(w, r, e, wait)
	}
	duplicate, err := o.storeEvent(r.Context(), e)
	if err != nil {
		return err
	}
	return httpapi.Answer(w, mediaJSON, http.StatusAccepted, eventAccepted{Accepted: true, ID: e.id, Duplicate: duplicate})
}

// readPosted reads and validates the event of a request.
func (o Options) readPosted(w http.ResponseWriter, r *http.Request, tenant string) (*postedEvent, error) {
	document, err := readEvent(w, r)
	if err != nil {
		return nil, err
	}
	event, err := schemas.DecodeEvent(document)
	if err != nil {
		return nil, rejectField(err)
	}
	var to struct{ Bot string }
	if json.Unmarshal(event.Extensions[botAttribute], &to.Bot) != nil || to.Bot == "" {
		return nil, httpapi.RejectAt("/"+botAttribute, "is required: the CloudEvents extension attribute that names the bot")
	}
	e := &postedEvent{
		ConversationKey: schemas.BotID{Tenant: tenant, Bot: to.Bot}.WithConversation(event.Subject),
		id:              event.ID, eventType: event.Type, document: document, header: nats.Header{},
	}
	if err := o.knowsBot(r.Context(), e.BotID); err != nil {
		return nil, err
	}
	traceParent, traceState := schemas.ValidTrace(r.Header.Get(bus.HeaderTraceParent), r.Header.Get(bus.HeaderTraceState))
	if traceParent != "" {
		e.header.Set(bus.HeaderTraceParent, traceParent)
	}
	if traceState != "" {
		e.header.Set(bus.HeaderTraceState, traceState)
	}
	if t, ok := r.Context().Value(requestTraceKey{}).(*requestTrace); ok {
		t.id = schemas.TraceIDOf(cmp.Or(event.TraceParent, r.Header.Get("Traceparent")), e.ConversationKey, e.id)
	}
	return e, nil
}

// knowsBot returns the answer to a request that names a bot which its tenant does not have, nil when it has the bot. While
// another starter may have a newer file of the bot, the answer asks for another request.
func (o Options) knowsBot(ctx context.Context, id schemas.BotID) error {
	bots := o.Bots.Current()
	if _, ok := bots.Bot(id); ok {
		return nil
	}
	unknown := "the token's tenant has no such bot" + bots.Hint(id)
	if o.Rollout != nil {
		switch differ, err := o.Rollout.Differ(ctx, bots, id); {
		case err != nil:
			return publishFailed(err, "tenant", id.Tenant)
		case differ:
			return httpapi.RejectFor(rolloutWait, fault.UnknownBot, unknown+
				"; the bot files of this gateway may be older than those of another one: send the request again")
		}
	}
	return httpapi.Reject(http.StatusNotFound, fault.UnknownBot, unknown)
}

// storeEvent publishes an event, and reports whether the same event is stored already.
func (o Options) storeEvent(ctx context.Context, e *postedEvent) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	content := contentOf(e.document)
	err = o.roomForEvent(ctx, e.Tenant, func() bool {
		before, err := o.Posted.Reserved(ctx, e.ConversationKey, e.id, content)
		return err == nil && before
	})
	if err != nil {
		return false, err
	}
	err = o.Posted.Reserve(ctx, e.ConversationKey, e.id, content)
	if errors.Is(err, store.ErrOtherContent) {
		return false, httpapi.Reject(http.StatusConflict, fault.BadEvent,
			"the conversation has an event of this id with other content: send a new event under an id of its own, such as a UUID")
	}
	if err == nil {
		stored := o.writingEvent(e)
		_, duplicate, err = o.Bus.PublishEventWithin(ctx, e.ConversationKey, e.document, e.id, e.header,
			func(ctx context.Context) error { return o.roomForEvent(ctx, e.Tenant, isNew) })
		stored(err == nil && !duplicate)
		if full, ok := errors.AsType[*httpapi.Problem](err); ok {
			return false, full // the id stays reserved: the stream knows it
		}
		if _, refused := errors.AsType[*fault.Fault](err); refused {
			// The event is not in the stream: its id is free. When this fails, the reservation expires.
			_ = o.Posted.Release(ctx, e.ConversationKey, e.id)
		}
	}
	if err != nil {
		return false, publishFailed(err, "tenant", e.Tenant, "bot", e.Bot, "event", e.id)
	}
	return duplicate, nil
}

// readEvent returns the event of a request in structured mode, whichever mode it came in.
func readEvent(w http.ResponseWriter, r *http.Request) (json.RawMessage, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == mediaStructured:
		return httpapi.ReadBody(w, r, httpapi.BodyMax)
	case err == nil && media == mediaBatch:
		return nil, httpapi.Reject(http.StatusUnsupportedMediaType, fault.Encoding,
			"batches are not supported: send one event in each request")
	case err == nil && media == mediaJSON && r.Header.Get("Ce-Specversion") != "":
		body, err := httpapi.ReadBody(w, r, httpapi.BodyMax)
		if err != nil {
			return nil, err
		}
		// The data travels as it came: what is replaced and what is rejected in it is DecodeEvent's to say.
		if _, err := strictjson.Read(body); err != nil {
			return nil, httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "the body: "+err.Error())
		}
		document, err := schemas.FromBinary(r.Header, body)
		if err != nil {
			return nil, httpapi.Reject(http.StatusBadRequest, fault.BadEvent, err.Error())
		}
		return document, nil
	}
	return nil, httpapi.Reject(http.StatusUnsupportedMediaType, fault.Encoding,
		"send "+mediaStructured+" (structured mode), or "+mediaJSON+" with ce- headers (binary mode)")
}

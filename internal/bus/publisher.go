package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/schemas"
)

// W3C trace context headers.
const (
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// Publisher publishes replies and events. Publishing the same id twice within the stream's duplicate window stores it once.
type Publisher struct {
	js     jetstream.JetStream
	pubsub *pubsub.PubSub
}

// NewPublisher returns a new publisher.
func NewPublisher(js jetstream.JetStream) *Publisher { return &Publisher{js, pubsub.New(js)} }

// PublishReply stores a reply and waits for the acknowledgement, trying again until ctx ends. A reply that is too large
// for NATS fails at once with fault.TooLarge.
func (p *Publisher) PublishReply(ctx context.Context, owner schemas.BotID, reply schemas.Reply) error {
	_, err := p.publishReply(ctx, owner, reply)
	return err
}

func (p *Publisher) publishReply(
	ctx context.Context, owner schemas.BotID, reply schemas.Reply,
) (*jetstream.PubAck, error) {
	m, err := replyMessage(owner, reply)
	if err != nil {
		return nil, err
	}
	stored, err := p.publish(ctx, owner, m)
	if err == nil {
		p.pubsub.Announce(owner, reply)
	}
	return stored, err
}

func replyMessage(owner schemas.BotID, reply schemas.Reply) (*nats.Msg, error) {
	body, err := schemas.Marshal(reply)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "reply %s cannot be written as JSON", reply.ID)
	}
	m := nats.NewMsg(schemas.Subject(schemas.SubjectReplies, owner.WithConversation(reply.Subject)))
	m.Data = body
	m.Header.Set(jetstream.MsgIDHeader, reply.ID)
	traceParent, traceState := schemas.ValidTrace(reply.TraceParent, reply.TraceState)
	if traceParent != "" {
		m.Header.Set(HeaderTraceParent, traceParent)
	}
	if traceState != "" {
		m.Header.Set(HeaderTraceState, traceState)
	}
	return m, nil
}

// PublishEvent stores an event as it is, with the engine's headers, and waits for the acknowledgement, trying again
// until ctx ends. id is the event's, and the same event of the conversation is stored once while it waits for a starter. It
// returns the event's sequence and whether the stream has, or had, it already; an event that may have been handled is stored
// again with schemas.HeaderAgain, and its conversation recognises it. A full stream is fault.QueueFull, an event that is too
// large fault.TooLarge; neither is tried again. A Nats-TTL header is stored as the event's latest useful moment in a form
// that does not make the server remove it.
func (p *Publisher) PublishEvent(
	ctx context.Context, key schemas.ConversationKey, event []byte, id string, header nats.Header,
) (seq uint64, duplicate bool, err error) {
	return p.PublishEventWithin(ctx, key, event, id, header, nil)
}

// PublishEventWithin is PublishEvent for an event that may have come before, and was let through for that: room is asked
// before the event is stored again. When it returns an error, nothing is stored and the error is returned. nil: it is not
// asked.
func (p *Publisher) PublishEventWithin(
	ctx context.Context, key schemas.ConversationKey, event []byte, id string, header nats.Header,
	room func(context.Context) error,
) (seq uint64, duplicate bool, err error) {
	m := nats.NewMsg(schemas.Subject(schemas.SubjectEvents, key))
	m.Data = event
	for name, values := range header {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") {
			m.Header[name] = values
		}
	}
	if ttl := parseTTL(HeaderValue(header, jetstream.MsgTTLHeader)); ttl > 0 {
		m.Header.Set(headerExpires, time.Now().Add(ttl).UTC().Format(time.RFC3339Nano))
	}
	m.Header.Set(jetstream.MsgIDHeader, schemas.EventMsgID(key, id))
	return storeOnce(ctx, p.js, m, sameEvent(m, id), func(ctx context.Context) (*jetstream.PubAck, error) {
		return p.publish(ctx, key.BotID, m)
	}, room)
}

func (p *Publisher) publish(ctx context.Context, owner schemas.BotID, m *nats.Msg) (*jetstream.PubAck, error) {
	if !owner.Valid() {
		return nil, fault.New(fault.BadEvent, "tenant and bot must be of the form [A-Za-z0-9_-]{1,64}")
	}
	if len(m.Data) > schemas.MessageMax || int64(m.Size()) > p.js.Conn().MaxPayload() {
		return nil, tooLarge(m)
	}
	stored, err := publishStored(ctx, p.js, m)
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return nil, f
	}
	if err != nil {
		return nil, fmt.Errorf("publish on %s: %w", m.Subject, err)
	}
	return stored, nil
}

// publishStored publishes a message and waits for the acknowledgement, trying again until ctx ends or no retry can help.
func publishStored(ctx context.Context, js jetstream.JetStream, m *nats.Msg) (stored *jetstream.PubAck, err error) {
	var last error
	err = backoff.Retry(func() error {
		try, cancel := context.WithTimeout(ctx, natsclient.APITimeout)
		defer cancel()
		stored, last = js.PublishMsg(try, m)
		return publishError(last, m)
	}, backoff.WithContext(retry.Backoff(50*time.Millisecond, 5*time.Second), ctx))
	if err != nil {
		return nil, errors.Join(err, last)
	}
	return stored, nil
}

// publishError marks errors as permanent that a retry does not change.
func publishError(err error, m *nats.Msg) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case natsclient.IsTooLarge(err):
		return backoff.Permanent(tooLarge(m))
	case strings.HasPrefix(m.Subject, schemas.SubjectEvents+".") && (natsclient.IsStreamFull(err) || natsclient.IsBusy(err)):
		return backoff.Permanent(fault.Wrap(fault.QueueFull, err,
			"the stream is full, or holds %d events of the conversation: try again later", WaitingMax))
	case natsclient.IsStreamFull(err):
		return backoff.Permanent(fault.Wrap(fault.QueueFull, err, "the stream is full: try again later"))
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject), natsclient.IsDenied(err):
		return backoff.Permanent(err)
	case errors.As(err, &api) && api.Code == 400:
		return backoff.Permanent(err)
	}
	return err
}

func tooLarge(m *nats.Msg) error {
	return fault.New(fault.TooLarge, "message of %d bytes exceeds the limit of NATS", m.Size())
}

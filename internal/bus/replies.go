package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Replies publishes replies and finds those that are stored already.
type Replies struct {
	publisher *Publisher
	js        jetstream.JetStream
	stream    jetstream.Stream
}

// NewReplies returns a new Replies on an account's streams.
func NewReplies(js jetstream.JetStream, s Streams) *Replies {
	return &Replies{publisher: NewPublisher(js), js: js, stream: s.replies}
}

// PublishReply stores a reply by the rules of Publisher.PublishReply. When the stream has one of the same id already, that
// one is returned.
func (r *Replies) PublishReply(ctx context.Context, owner schemas.BotID, reply schemas.Reply) (*schemas.Reply, error) {
	m, err := replyMessage(owner, reply)
	if err != nil {
		return nil, err
	}
	stored, err := r.publisher.publish(ctx, owner, m)
	if err == nil {
		guardedConnOf(r.js).announce(owner, noticesOf(reply)...)
	}
	if err != nil || !stored.Duplicate || stored.Sequence == 0 {
		return nil, err
	}
	before, err := r.stream.GetMsg(ctx, stored.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // expired since
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the reply %s that is stored already: %w", reply.ID, err)
	}
	return decodeReply(before.Data, reply.ID), nil
}

// FindReply returns the reply of an id in a conversation, published since a moment; nil when there is none. It costs one
// request, and when the conversation's latest reply is another one, a request for each reply since the moment. All of them
// end with ctx.
func (r *Replies) FindReply(
	ctx context.Context, of schemas.ConversationKey, id string, since time.Time,
) (*schemas.Reply, error) {
	if !of.Valid() {
		return nil, fault.New(fault.BadEvent, "tenant and bot must be of the form [A-Za-z0-9_-]{1,64}")
	}
	subject := schemas.Subject(schemas.SubjectReplies, of)
	last, err := r.stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the latest reply of a conversation: %w", err)
	case last.Header.Get(jetstream.MsgIDHeader) == id:
		return decodeReply(last.Data, id), nil
	case last.Time.Before(since):
		return nil, nil
	}
	replies := leaderOf(r.js, rightsOf(r.js), schemas.StreamReplies)
	for next := (query{Next: subject, Since: &since}); ; {
		m, err := replies.get(ctx, next)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read the replies of a conversation: %w", err)
		case m.Header.Get(jetstream.MsgIDHeader) == id:
			return decodeReply(m.Data, id), nil
		case m.Sequence >= last.Sequence:
			return nil, nil
		}
		next = query{Next: subject, Sequence: m.Sequence + 1}
	}
}

// decodeReply reads a stored reply, nil when it is not the one of the id.
func decodeReply(data []byte, id string) *schemas.Reply {
	var reply schemas.Reply
	if json.Unmarshal(data, &reply) != nil || reply.ID != id {
		return nil
	}
	return &reply
}

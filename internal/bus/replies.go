package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Replies publishes replies and finds those that are stored already.
type Replies struct {
	publisher *Publisher
	streams   Streams
	waits     replyWaits
}

// NewReplies returns a new Replies on an account's streams.
func NewReplies(s Streams) *Replies {
	return &Replies{publisher: NewPublisher(s.js), streams: s}
}

// Publish stores a reply by the rules of Publisher.PublishReply. When the stream has one of the same id already, that one is
// returned.
func (r *Replies) Publish(ctx context.Context, owner schemas.BotID, reply schemas.Reply) (*schemas.Reply, error) {
	stored, err := r.publisher.publishReply(ctx, owner, reply)
	if err != nil || !stored.Duplicate || stored.Sequence == 0 {
		return nil, err
	}
	before, err := r.streams.replies.GetMsg(ctx, stored.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) { // expired since
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the reply %s that is stored already: %w", reply.ID, err)
	}
	return decodeReply(before.Data, reply.ID), nil
}

// A search reads at most so many replies of a conversation, and bytes of them: an engine chooses the time of its events, and
// each one with an early time would have all read that it has stored. The reply to an event is among the first ones after
// it, because a conversation answers its events in their order.
const (
	searchedReplies = 4096
	searchedBytes   = 16 << 20
)

// Find returns the reply of an id in a conversation, published since a moment; nil when there is none. Beside the
// latest reply it reads the first 4,096 since the moment, and not more than 16 MiB. It costs one request; when the latest
// reply is another one and the stream allows direct reads, up to eight more. All of them end with ctx.
func (r *Replies) Find(
	ctx context.Context, of schemas.ConversationKey, id string, since time.Time,
) (*schemas.Reply, error) {
	if !of.Valid() {
		return nil, fault.New(fault.BadEvent, "tenant and bot must be of the form [A-Za-z0-9_-]{1,64}")
	}
	subject := schemas.Subject(schemas.SubjectReplies, of)
	last, err := r.streams.replies.GetLastMsgForSubject(ctx, subject)
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
	reader, err := natsclient.NewReader(r.streams.js, schemas.StreamReplies)
	if err != nil {
		return nil, err
	}
	reader.Last, reader.Most = last.Sequence-1, searchedReplies
	var found *schemas.Reply
	bytes := 0
	err = reader.Read(ctx, natsclient.Query{Next: subject, Since: &since}, func(m *jetstream.RawStreamMsg) (bool, error) {
		if m.Header.Get(jetstream.MsgIDHeader) != id {
			bytes += len(m.Data)
			return bytes < searchedBytes, nil
		}
		found = decodeReply(m.Data, id)
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the replies of a conversation: %w", err)
	}
	return found, nil
}

// decodeReply reads a stored reply, nil when it is not the one of the id.
func decodeReply(data []byte, id string) *schemas.Reply {
	var reply schemas.Reply
	if json.Unmarshal(data, &reply) != nil || reply.ID != id {
		return nil
	}
	return &reply
}

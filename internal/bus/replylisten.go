package bus

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Last returns the latest sequence of the reply stream, 0 before the first reply.
func (r *Replies) Last(ctx context.Context) (uint64, error) {
	info, err := r.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the state of the reply stream: %w", err)
	}
	return info.State.LastSeq, nil
}

// Listen returns the first reply of a conversation, from now on, that has one of the ids; it costs the server one
// subscription. The channel receives at most one reply, and is never closed. A reply that is published while the connection
// is lost is missed: FindReply finds it.
func (r *Replies) Listen(of schemas.ConversationKey, ids []string) (found <-chan schemas.Reply, stop func(), err error) {
	if !of.Valid() {
		return nil, nil, fault.New(fault.BadEvent, "tenant and bot must be of the form [A-Za-z0-9_-]{1,64}")
	}
	replies := make(chan schemas.Reply, 1)
	s, err := guardedConnOf(r.js).subscribe(schemas.Subject(schemas.SubjectReplies, of), func(m *nats.Msg) {
		id := HeaderValue(m.Header, jetstream.MsgIDHeader)
		if !slices.Contains(ids, id) {
			return
		}
		if reply := decodeReply(m.Data, id); reply != nil {
			select {
			case replies <- *reply:
			default: // the first one counts
			}
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the replies of a conversation: %w", err)
	}
	return replies, unsubscribe(s), nil
}

package store

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Sessions stores which adapters take part in the session of a conversation, in the bucket of chats. A session without
// events for 30 days expires.
type Sessions struct{ bucket fenced }

// NewSessions returns a new Sessions on an account's streams.
func NewSessions(js jetstream.JetStream, s bus.Streams) *Sessions {
	return &Sessions{bucket: fenced{js: js, stream: s.BucketLog(bus.BucketChats), bucket: bus.BucketChats}}
}

// Get returns the session of a conversation and its revision; no data = none.
func (s *Sessions) Get(ctx context.Context, of schemas.ConversationKey) (data []byte, revision uint64, err error) {
	v, err := s.bucket.get(ctx, sessionKey(of))
	if err != nil {
		return nil, 0, fmt.Errorf("read the session of a conversation: %w", err)
	}
	return v.data, v.revision, nil
}

// Put replaces the session of a conversation, or removes it when data is nil, unless its revision has changed: then stored
// is false.
func (s *Sessions) Put(ctx context.Context, of schemas.ConversationKey, data []byte, revision uint64) (
	stored bool, err error,
) {
	err = s.bucket.put(ctx, sessionKey(of), fencedValue{data: data, revision: revision})
	if bus.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store the session of a conversation: %w", err)
	}
	return true, nil
}

// sessionKey has a token more than the keys of chats.
func sessionKey(of schemas.ConversationKey) string {
	return of.Tenant + "." + of.Bot + ".session." + schemas.ConversationToken(of.Conversation)
}

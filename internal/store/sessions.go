package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Sessions stores which adapters take part in the session of a conversation, in the bucket of chats. A session without
// events for 30 days expires.
type Sessions struct{ bucket fenced }

// NewSessions returns a new Sessions on an account's streams.
func NewSessions(js jetstream.JetStream, s bus.Streams) *Sessions {
	return &Sessions{bucket: fenced{js: js, stream: s.BucketLog(bus.BucketChats), bucket: bus.BucketChats}}
}

// Session is what is stored of the session of a conversation. The zero value is that of one that had none.
type Session struct {
	Data     []byte // nil: none
	Fence    int64  // of the latest write, also of one that removed the session; 0: without order
	Revision uint64
}

// Older reports whether a write with a fence is older than the latest one. A write without a fence never is.
func (s Session) Older(fence int64) bool { return older(fence, s.Fence) }

// Get returns the session of a conversation.
func (s *Sessions) Get(ctx context.Context, of schemas.ConversationKey) (Session, error) {
	v, err := s.bucket.get(ctx, sessionKey(of))
	if err != nil {
		return Session{}, fmt.Errorf("read the session of a conversation: %w", err)
	}
	return Session{Data: v.data, Fence: v.fence, Revision: v.revision}, nil
}

// Put replaces the session of a conversation, or removes it when there is no data, unless its revision has changed: then
// stored is false. The fence is kept in either case.
func (s *Sessions) Put(ctx context.Context, of schemas.ConversationKey, next Session) (stored bool, err error) {
	err = s.bucket.put(ctx, sessionKey(of), fencedValue{data: next.Data, fence: next.Fence, revision: next.Revision})
	if natsclient.IsConflict(err) {
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

// sessionToken returns the token of the conversation whose session a subject of the bucket's stream holds; false for that of
// a chat.
func sessionToken(subject string) (token string, is bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 6 || tokens[4] != "session" {
		return "", false
	}
	return tokens[5], true
}

package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Chats stores the conversation of each chat of a TwoWay router, so that messages of the chat reach it. A chat without
// messages for 30 days expires.
type Chats struct {
	bucket fenced

	mu    sync.Mutex
	known map[string]knownChat // recently stored by this process
}

type knownChat struct {
	conversation string
	fence        int64
}

// chatsKnown bounds the cache of a process.
const chatsKnown = 10_000

// NewChats returns a new Chats on an account's streams.
func NewChats(js jetstream.JetStream, s bus.Streams) *Chats {
	return &Chats{bucket: fenced{js: js, stream: s.BucketLog(bus.BucketChats), bucket: bus.BucketChats},
		known: map[string]knownChat{}}
}

// Remember stores the conversation of a chat, and returns the conversation that the chat has then. What this process has
// stored already costs nothing. fence orders the writers, as that of Users.Update does: of an older one than the stored
// conversation's nothing is stored.
func (c *Chats) Remember(
	ctx context.Context, owner schemas.BotID, chat, conversation string, fence int64,
) (current string, err error) {
	key := chatKey(owner, chat)
	if c.knows(key, knownChat{conversation, fence}) {
		return conversation, nil
	}
	v, err := c.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		return fencedValue{data: []byte(conversation), fence: max(fence, v.fence)}, !v.older(fence), nil
	})
	if err != nil {
		return "", fmt.Errorf("remember the conversation of a chat: %w", err)
	}
	last := knownChat{string(v.data), v.fence}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= chatsKnown {
		clear(c.known)
	}
	c.known[key] = last
	return last.conversation, nil
}

// knows reports whether the cache has the conversation of a chat, from a write that is not older.
func (c *Chats) knows(key string, chat knownChat) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[key]
	return ok && known.conversation == chat.conversation && known.fence >= chat.fence
}

// Conversation returns the conversation that a chat belongs to, "" when the chat has none.
func (c *Chats) Conversation(ctx context.Context, owner schemas.BotID, chat string) (string, error) {
	v, err := c.bucket.get(ctx, chatKey(owner, chat))
	if err != nil {
		return "", fmt.Errorf("find the conversation of a chat: %w", err)
	}
	return string(v.data), nil
}

// chatKey: chats have ids that are made of hex digits and dashes.
func chatKey(owner schemas.BotID, chat string) string {
	return owner.Tenant + "." + owner.Bot + "." + chat
}

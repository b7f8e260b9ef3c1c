package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// Chats remember to which conversation a chat of a TwoWay router belongs, so that what is sent in the chat finds its way. A
// chat that nobody wrote in for 30 days is forgotten.
type Chats struct {
	bucket jetstream.KeyValue

	mu    sync.Mutex
	known map[string]string // what this process has stored lately
}

// chatsKnown bounds what one process remembers of what it has stored.
const chatsKnown = 10_000

// NewChats opens the chats of an account.
func NewChats(s Streams) *Chats { return &Chats{bucket: s.chats, known: map[string]string{}} }

// Remember stores the conversation of a chat. A chat that is known already costs nothing.
func (c *Chats) Remember(ctx context.Context, owner schemas.BotID, chat, conversation string) error {
	key := chatKey(owner, chat)
	if c.knows(key, conversation) {
		return nil
	}
	if _, err := c.bucket.PutString(ctx, key, conversation); err != nil {
		return fmt.Errorf("remember the conversation of a chat: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= chatsKnown {
		clear(c.known)
	}
	c.known[key] = conversation
	return nil
}

func (c *Chats) knows(key, conversation string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[key]
	return ok && known == conversation
}

// Conversation is the one that a chat belongs to, "" when nobody wrote in it.
func (c *Chats) Conversation(ctx context.Context, owner schemas.BotID, chat string) (string, error) {
	entry, err := c.bucket.Get(ctx, chatKey(owner, chat))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("find the conversation of a chat: %w", err)
	}
	return string(entry.Value()), nil
}

// chatKey: chats have ids that are made of hex digits and dashes.
func chatKey(owner schemas.BotID, chat string) string {
	return owner.Tenant + "." + owner.Bot + "." + chat
}

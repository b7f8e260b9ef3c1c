package store

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/internal/tenantcache"
	"github.com/hookturn/hookturn/schemas"
)

// Chats stores the conversation of each chat of a TwoWay router, so that messages of the chat reach it. A chat without
// messages for 30 days expires.
type Chats struct {
	bucket fenced
	quota  *quota.Quota
	known  *tenantcache.Cache[string, knownChat] // recently stored by this process
}

type knownChat struct {
	conversation string
	fence        int64
	stored       time.Time
}

const (
	// chatsKnown bounds the cache of a process, of which a tenant pushes out its own chats.
	chatsKnown = 10_000
	// chatsKnownFor is how long a chat is known without being stored again: each time it is, it expires later.
	chatsKnownFor = 24 * time.Hour
)

// NewChats returns a new Chats on an account's streams.
func NewChats(js jetstream.JetStream, s bus.Streams) *Chats {
	return &Chats{bucket: fenced{js: js, stream: s.BucketLog(bus.BucketChats), bucket: bus.BucketChats},
		quota: s.BucketQuota(bus.BucketChats), known: tenantcache.New[string, knownChat](chatsKnown)}
}

// Remember stores the conversation of a chat, and returns the conversation that the chat has then. What this process has
// stored already costs nothing. fence orders the writers, as that of Users.Update does: of an older one than the stored
// conversation's nothing is stored. A new chat is a fault of the kind queue_full when those of the tenant fill half of the
// bucket.
func (c *Chats) Remember(
	ctx context.Context, owner schemas.BotID, chat, conversation string, fence int64,
) (current string, err error) {
	key := chatKey(owner, chat)
	if known, ok := c.known.Get(owner.Tenant, key); ok && known.holds(conversation, fence) {
		return conversation, nil
	}
	v, err := c.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		if v.data == nil {
			if err := checkShare(ctx, c.quota, owner.Tenant, fault.QueueFull, "chats"); err != nil {
				return v, false, err
			}
		}
		return fencedValue{data: []byte(conversation), fence: max(fence, v.fence)}, !older(fence, v.fence), nil
	})
	if err != nil {
		return "", fmt.Errorf("remember the conversation of a chat: %w", err)
	}
	last := knownChat{string(v.data), v.fence, time.Now()}
	c.quota.Wrote(owner.Tenant, len(key)+len(conversation))
	c.known.Put(owner.Tenant, key, last)
	return last.conversation, nil
}

// holds reports whether nothing has to be stored for a chat.
func (k knownChat) holds(conversation string, fence int64) bool {
	return k.conversation == conversation && k.fence >= fence && time.Since(k.stored) < chatsKnownFor
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

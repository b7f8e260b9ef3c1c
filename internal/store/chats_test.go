package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

func TestChats_AreRemembered(t *testing.T) {
	t.Parallel()
	js, s := setup(t, bus.StreamOptions{})
	chats, ctx := NewChats(js, s), testContext(t)
	conversation, err := chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat")
	require.NoError(t, err)
	require.Empty(t, conversation)
	for _, next := range []string{"c 1", "c 1", "c 2"} {
		_, err = chats.Remember(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat", next, 0)
		require.NoError(t, err)
		conversation, err = chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat")
		require.NoError(t, err)
		require.Equal(t, next, conversation)
	}
	conversation, err = chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, "chat")
	require.NoError(t, err)
	require.Empty(t, conversation)
}

func TestChats_OlderWriteIsDropped(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	ctx, shop := testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	paused, other := NewChats(js, streams), NewChats(js, streams) // of two processes
	for _, c := range []struct {
		chats        *Chats
		conversation string
		fence        int64
		want         string
	}{{paused, "a", 1, "a"}, {other, "a", 5, "a"}, {paused, "b", 3, "a"}, {paused, "c", 6, "c"}, {other, "a", 5, "a"}, {other, "d", 7, "d"}} {
		current, err := c.chats.Remember(ctx, shop, "chat", c.conversation, c.fence)
		require.NoError(t, err)
		require.Equal(t, c.want, current)
	}
	current, err := other.Conversation(ctx, shop, "chat")
	require.NoError(t, err)
	require.Equal(t, "d", current)
}

// TestChats_ClockAhead: the clock of Temporal was ahead, and was corrected. The steps after that are not older, nor does this
// process take the conversation for stored that it has stored then.
func TestChats_ClockAhead(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	ctx, shop := testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	this, other := NewChats(js, streams), NewChats(js, streams) // of two processes
	_, err := this.Remember(ctx, shop, "chat", "a", time.Now().Add(10*time.Minute).UnixNano())
	require.NoError(t, err)
	for _, c := range []struct {
		chats        *Chats
		conversation string
	}{{other, "b"}, {this, "a"}} {
		_, err := c.chats.Remember(ctx, shop, "chat", c.conversation, time.Now().UnixNano())
		require.NoError(t, err)
		current, err := other.Conversation(ctx, shop, "chat")
		require.NoError(t, err)
		require.Equal(t, c.conversation, current)
	}
}

// TestChats_StoredAgain: a chat expires without messages, not while this process knows it.
func TestChats_StoredAgain(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	c, ctx, shop := NewChats(js, streams), testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	for age, want := range map[time.Duration]string{chatsKnownFor: "c-1", time.Hour: ""} {
		_, err := c.Remember(ctx, shop, "chat", "c-1", 1)
		require.NoError(t, err)
		require.NoError(t, streams.Bucket(bus.BucketChats).Purge(ctx, chatKey(shop, "chat")))
		known, _ := c.known.Get(shop.Tenant, chatKey(shop, "chat"))
		known.stored = time.Now().Add(-age)
		c.known.Put(shop.Tenant, chatKey(shop, "chat"), known)
		_, err = c.Remember(ctx, shop, "chat", "c-1", 1)
		require.NoError(t, err)
		conversation, err := c.Conversation(ctx, shop, "chat")
		require.NoError(t, err)
		require.Equal(t, want, conversation)
	}
}

// TestChats_CacheOfTenants: a tenant with many chats does not make those of others be stored again.
func TestChats_CacheOfTenants(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	c, ctx := NewChats(js, streams), testContext(t)
	quiet := schemas.BotID{Tenant: "quiet", Bot: "shop"}
	_, err := c.Remember(ctx, quiet, "1", "c-1", 1)
	require.NoError(t, err)
	for n := range chatsKnown {
		c.known.Put("greedy", chatKey(schemas.BotID{Tenant: "greedy", Bot: "shop"}, fmt.Sprint(n)), knownChat{conversation: "c", fence: 1})
	}
	_, ok := c.known.Get("quiet", chatKey(quiet, "1"))
	require.True(t, ok)
	require.Equal(t, chatsKnown, c.known.Len())
}

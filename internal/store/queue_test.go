package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestQueue_IsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	q, ctx := NewQueues(js, streams), testContext(t)

	_, sequence, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, sequence, "an empty queue has no head")

	for i := range 3 {
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", fmt.Sprint("id-", i), []byte{byte('a' + i)}))
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", fmt.Sprint("id-", i), []byte("again")), "known by its id")
	}
	require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "OTHER", "id-9", []byte("z")), "a queue of its own")
	for _, want := range []string{"a", "b", "c"} {
		data, sequence, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
		require.NoError(t, err)
		require.Equal(t, want, string(data))
		require.NoError(t, q.Remove(ctx, sequence))
		require.NoError(t, q.Remove(ctx, sequence), "removing twice succeeds")
	}
	_, sequence, err = q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, sequence)
	data, _, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "OTHER")
	require.NoError(t, err)
	require.Equal(t, "z", string(data))
}

// An event's id is unique within its conversation only.
func TestQueue_EqualEventIDs(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	q, ctx := NewQueues(js, streams), testContext(t)
	for _, key := range equalIDs() {
		require.NoError(t, q.Add(ctx, key, "NOTIFY", "e1", []byte(key.Tenant+key.Bot+key.Conversation)))
		require.NoError(t, q.Add(ctx, key, "OTHER", "e1", []byte("another step")))
	}
	info, err := streams.Queues().Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2*len(equalIDs()), info.State.Msgs)
	heads, err := q.Heads(ctx)
	require.NoError(t, err)
	require.Len(t, heads, 6, "three bots with two steps each")
}

func TestQueues_FullStream(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	ctx := testContext(t)
	config := streams.Queues().CachedInfo().Config
	require.Equal(t, int64(10_000), config.MaxMsgsPerSubject, "contract, section 4.2")
	config.MaxMsgsPerSubject = 2
	_, err := js.UpdateStream(ctx, config)
	require.NoError(t, err)

	q := NewQueues(js, streams)
	for i := range 2 {
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", fmt.Sprint("id-", i), []byte("x")))
	}
	err = q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", "id-2", []byte("x"))
	require.Equal(t, fault.QueueFull, fault.Of(err).Kind)
	require.ErrorContains(t, err, "NOTIFY")
	require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "OTHER", "id-3", []byte("x")), "another step's queue has room")

	err = q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "OTHER", "id-4", make([]byte, 2<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
}

// TestQueues_RepeatTakesNoShare: an entry that is added again takes no more of the tenant's share.
func TestQueues_RepeatTakesNoShare(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{"queues": roomBytes}})
	q, ctx, large := NewQueues(js, streams), testContext(t), make([]byte, 200<<10)
	const share = roomBytes / 2 / (200 << 10)
	of := func(tenant string) schemas.ConversationKey {
		return schemas.BotID{Tenant: tenant, Bot: "shop"}.WithConversation("c-1")
	}
	for n := range share * 3 / 4 {
		require.NoError(t, q.Add(ctx, of("acme"), "NOTIFY", fmt.Sprint(n), large))
		require.NoError(t, q.Add(ctx, of("other"), "NOTIFY", fmt.Sprint(n), large))
	}
	exceeded, err := q.quota.Exceeded(ctx, "acme") // what it counts is valid for a while
	require.NoError(t, err)
	require.False(t, exceeded)
	for range share {
		require.NoError(t, q.AddAgain(ctx, of("acme"), "NOTIFY", "0", large))
	}
	exceeded, err = q.quota.Exceeded(ctx, "acme")
	require.NoError(t, err)
	require.False(t, exceeded)
}

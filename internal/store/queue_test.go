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

	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	head, err := q.Head(ctx, shop, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, head, "an empty queue has no head")

	for i := range 3 {
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", fmt.Sprint("id-", i), []byte{byte('a' + i)}))
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "NOTIFY", fmt.Sprint("id-", i), []byte("again")), "known by its id")
	}
	require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), "OTHER", "id-9", []byte("z")), "a queue of its own")
	for _, want := range []string{"a", "b", "c"} {
		head, err := q.Head(ctx, shop, "NOTIFY")
		require.NoError(t, err)
		require.Equal(t, want, string(head.Data))
		require.NoError(t, q.Remove(ctx, shop, "NOTIFY", head.Sequence, head.ID))
		require.NoError(t, q.Remove(ctx, shop, "NOTIFY", head.Sequence, head.ID), "removing twice succeeds")
	}
	head, err = q.Head(ctx, shop, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, head)
	head, err = q.Head(ctx, shop, "OTHER")
	require.NoError(t, err)
	require.Equal(t, "z", string(head.Data))
	require.NoError(t, q.Remove(ctx, schemas.BotID{}, "", head.Sequence, ""), "as an earlier release removes it")
	head, err = q.Head(ctx, shop, "OTHER")
	require.NoError(t, err)
	require.Zero(t, head)
}

// TestQueue_RemoveComparesTheEntry: the stream was deleted and created again, and the sequence that a run has in its history
// is that of another entry, of another tenant or of the same queue.
func TestQueue_RemoveComparesTheEntry(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	ctx, acme := testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, of := range map[string]schemas.BotID{"same queue": acme, "other tenant": {Tenant: "other", Bot: "shop"}} {
		q := NewQueues(js, streams)
		require.NoError(t, q.Add(ctx, acme.WithConversation("c-1"), "NOTIFY", "e1", []byte("a")))
		old, err := q.Head(ctx, acme, "NOTIFY")
		require.NoError(t, err)
		require.NotEmpty(t, old.ID)

		config := streams.Queues().CachedInfo().Config
		config.FirstSeq = old.Sequence
		require.NoError(t, js.DeleteStream(ctx, bus.StreamQueues))
		_, err = js.CreateStream(ctx, config)
		require.NoError(t, err)
		require.NoError(t, q.Add(ctx, of.WithConversation("c-1"), "NOTIFY", "e2", []byte("b")))
		head, err := q.Head(ctx, of, "NOTIFY")
		require.NoError(t, err)
		require.Equal(t, old.Sequence, head.Sequence, name)

		require.NoError(t, q.Remove(ctx, acme, "NOTIFY", old.Sequence, old.ID))
		if of != acme {
			require.NoError(t, q.Remove(ctx, acme, "NOTIFY", old.Sequence, ""), "an entry whose id is not known")
		}
		head, err = q.Head(ctx, of, "NOTIFY")
		require.NoError(t, err)
		require.Equal(t, "b", string(head.Data), name)
		require.NoError(t, q.Remove(ctx, of, "NOTIFY", head.Sequence, head.ID))
	}
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

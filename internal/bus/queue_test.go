package bus

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	q, ctx := NewQueues(js, streams), testContext(t)

	_, sequence, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, sequence, "an empty queue has no head")

	for i := range 3 {
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY", fmt.Sprint("id-", i), []byte{byte('a' + i)}))
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY", fmt.Sprint("id-", i), []byte("again")), "known by its id")
	}
	require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "OTHER", "id-9", []byte("z")), "a queue of its own")
	for _, want := range []string{"a", "b", "c"} {
		data, sequence, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
		require.NoError(t, err)
		require.Equal(t, want, string(data))
		require.NoError(t, q.Remove(ctx, sequence))
		require.NoError(t, q.Remove(ctx, sequence), "removing twice is no error")
	}
	_, sequence, err = q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY")
	require.NoError(t, err)
	require.Zero(t, sequence)
	data, _, err := q.Head(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "OTHER")
	require.NoError(t, err)
	require.Equal(t, "z", string(data))
}

func TestFullQueueSaysSo(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	ctx := testContext(t)
	config := streams.queues.CachedInfo().Config
	require.Equal(t, int64(10_000), config.MaxMsgsPerSubject, "contract, section 4.2")
	config.MaxMsgsPerSubject = 2
	_, err := js.UpdateStream(ctx, config)
	require.NoError(t, err)

	q := NewQueues(js, streams)
	for i := range 2 {
		require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY", fmt.Sprint("id-", i), []byte("x")))
	}
	err = q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "NOTIFY", "id-2", []byte("x"))
	require.Equal(t, fault.QueueFull, fault.Of(err).Kind)
	require.ErrorContains(t, err, "NOTIFY")
	require.NoError(t, q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "OTHER", "id-3", []byte("x")), "another step's queue has room")

	err = q.Add(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "OTHER", "id-4", make([]byte, 2<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
}

package store

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestPauses_FollowRemoved: a pause that is not stored any more is over, whether its key was removed or the bucket was
// created again. What was resumed before is not reported again, and a pause that comes back is.
func TestPauses_FollowRemoved(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	pauses, shop, seen := NewPauses(streams), schemas.BotID{Tenant: "acme", Bot: "shop"}, make(chan Pause, 16)
	ctx, cancel := context.WithCancel(testContext(t))
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { _ = pauses.Follow(ctx, func(d Pause) { seen <- d }, func() {}) })
	put := func(d Pause) {
		t.Helper()
		require.NoError(t, pauses.Put(ctx, d))
		require.Equal(t, d, <-seen)
	}
	bot, endpoint := Pause{BotID: shop, Reason: "maintenance"}, Pause{BotID: shop, URL: "https://a.example", By: "ann"}
	put(bot)
	put(endpoint)
	put(Pause{BotID: schemas.BotID{Tenant: "acme", Bot: "mall"}, Resumed: true})

	require.NoError(t, js.DeleteKeyValue(ctx, bus.BucketPauses))
	require.NoError(t, bus.Ready(ctx, js))
	require.ElementsMatch(t, []Pause{
		{BotID: shop, Resumed: true}, {BotID: shop, URL: endpoint.URL, Resumed: true},
	}, []Pause{<-seen, <-seen})

	put(bot)
	require.NoError(t, streams.Bucket(bus.BucketPauses).Delete(ctx, pauseKey(bot)))
	require.Equal(t, Pause{BotID: shop, Resumed: true}, <-seen)
	put(bot)
	require.NoError(t, streams.Bucket(bus.BucketPauses).Purge(ctx, pauseKey(bot)))
	require.Equal(t, Pause{BotID: shop, Resumed: true}, <-seen)
	put(endpoint)
	require.Empty(t, seen)
}

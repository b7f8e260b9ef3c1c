package app

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// TestPauses_ReachEveryProcess pauses and resumes, while one process follows, and starts another one in between. In the end
// the bucket is created again, whose revisions begin again with it.
func TestPauses_ReachEveryProcess(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	log, shop := slog.New(slog.DiscardHandler), schemas.BotID{Tenant: "default", Bot: "shop"}
	begin := func() (*limit.Limiter, *pausedBots) {
		p := &parts{log: log}
		e := &endpoints{log: log, limiter: &limit.Limiter{}}
		bots := &pausedBots{log: log, bots: map[schemas.BotID]pausedBot{}}
		require.NoError(t, followPauses(t.Context(), &base{streams: streams}, log, p, func(d store.Pause, stored bool) {
			e.decided(d, stored)
			bots.decided(d, stored)
		}))
		t.Cleanup(func() { require.NoError(t, p.stop(context.WithoutCancel(t.Context()))) })
		return e.limiter, bots
	}
	orders := limit.Endpoint{BotID: shop, URL: "https://shop.example/orders"}
	denied := func(l *limit.Limiter) bool {
		permit, f := l.Acquire(limit.Request{Endpoint: orders, Limits: bot.Limits{}})
		if f == nil {
			permit.Release(limit.Result{})
		}
		return f != nil
	}
	holds := func(condition func() bool) { require.Eventually(t, condition, time.Minute, 5*time.Millisecond) }

	first, firstBots := begin()
	pauses := store.NewPauses(streams)
	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop, URL: orders.URL}))
	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop}))
	holds(func() bool { return denied(first) && firstBots.Paused(shop) != nil })
	over := firstBots.Paused(shop)
	second, secondBots := begin()
	require.True(t, denied(second), "a restart changes nothing, at no time")
	require.NotNil(t, secondBots.Paused(shop))

	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop, URL: orders.URL, Resumed: true}))
	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop, Resumed: true}))
	for _, l := range []*limit.Limiter{first, second} {
		holds(func() bool { return !denied(l) })
	}
	<-over.Done()
	require.Nil(t, firstBots.Paused(shop))
	require.Empty(t, firstBots.now())

	var until time.Time
	holds(func() bool { // again, if the time was over before the process had read it
		if now := time.Now(); now.After(until) {
			until = now.Add(time.Second)
			if pauses.Put(t.Context(), store.Pause{BotID: shop, Until: until}) != nil {
				return false
			}
		}
		return len(firstBots.now()) == 1
	})
	holds(func() bool { return firstBots.Paused(shop) == nil }) // the time is over

	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop}))
	holds(func() bool { return firstBots.Paused(shop) != nil })
	require.NoError(t, js.DeleteKeyValue(t.Context(), bus.BucketPauses))
	require.NoError(t, bus.Ready(t.Context(), js))
	require.NoError(t, pauses.Put(t.Context(), store.Pause{BotID: shop, Resumed: true}))
	holds(func() bool { return firstBots.Paused(shop) == nil })
}

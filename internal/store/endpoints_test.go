package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestEndpoints_WorkersTellEachOtherOfEndpoints(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{})
	e, ctx := NewEndpoints(streams), testContext(t)
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x", []byte("old")))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x", []byte("known")))

	received := make(chan string, 10)
	listening, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- e.Follow(listening, func(notice []byte) { received <- string(notice) }, func() { received <- "that is all" })
	}()
	require.Equal(t, "known", <-received)
	require.Equal(t, "that is all", <-received)
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x"))
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://never.example"))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, "https://a.example/x", []byte("news")))
	require.Equal(t, "news", <-received, "a removed state is not received")
	stop()
	require.NoError(t, <-done)
}

// TestEndpoints_TenantHasHalf: the states of a tenant with many endpoints that fail leave room for those of others.
func TestEndpoints_TenantHasHalf(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{"endpoints": roomBytes}})
	e, ctx, greedy := NewEndpoints(streams), testContext(t), schemas.BotID{Tenant: "greedy", Bot: "shop"}
	url := func(n int) string { return fmt.Sprintf("https://a.example/%d", n) }
	state := bytes.Repeat([]byte("x"), 200<<10)
	stored := fillShare(t, e.quota, fault.QueueFull, func(n int) error { return e.Tell(ctx, greedy, url(n), state) })
	require.InDelta(t, roomBytes/2/(200<<10), stored, 1)
	require.NoError(t, e.Tell(ctx, greedy, url(0), state), "an endpoint that has a state")
	require.NoError(t, e.Forget(ctx, greedy, url(1)))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "other", Bot: "shop"}, url(0), state))
}

// TestEndpoints_ForgetLeavesNoMark: an endpoint without a state takes no room when it is forgotten.
func TestEndpoints_ForgetLeavesNoMark(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	e, ctx := NewEndpoints(streams), testContext(t)
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://never.example"))
	stream, err := js.Stream(ctx, "KV_"+bus.BucketEndpoints)
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().State.LastSeq)
}

package store

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
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
	go func() { done <- e.Listen(listening, func(notice []byte) { received <- string(notice) }) }()
	require.Equal(t, "known", <-received)
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x"))
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://never.example"))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, "https://a.example/x", []byte("news")))
	require.Equal(t, "news", <-received, "a removed state is not received")
	stop()
	require.NoError(t, <-done)
}

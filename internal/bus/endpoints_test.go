package bus

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestWorkersTellEachOtherOfEndpoints(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	e, ctx := NewEndpoints(streams), testContext(t)
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x", []byte("old")))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x", []byte("known")))

	heard := make(chan string, 10)
	listening, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Listen(listening, func(notice []byte) { heard <- string(notice) }) }()
	require.Equal(t, "known", <-heard)
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://a.example/x"))
	require.NoError(t, e.Forget(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "https://never.example"))
	require.NoError(t, e.Tell(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, "https://a.example/x", []byte("news")))
	require.Equal(t, "news", <-heard, "what is forgotten is no notice")
	stop()
	require.NoError(t, <-done)
}

func TestAdvisoriesAreHeardByWhoListens(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	sub, err := js.Conn().SubscribeSync(schemas.SubjectAdvisories + ".acme.>")
	require.NoError(t, err)
	require.NoError(t, NewWires(js, streams).Advise(schemas.BotID{Tenant: "acme", Bot: "shop"}, []byte("{}")))
	m, err := sub.NextMsgWithContext(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "hookturn.advisories.acme.shop", m.Subject)
	require.Equal(t, "{}", string(m.Data))
}

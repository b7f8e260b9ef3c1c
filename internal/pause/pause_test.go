package pause

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

// TestDecide_ResumedEndpointHasNoState: what workers share of an endpoint ends with a resume, not with a pause.
func TestDecide_ResumedEndpointHasNoState(t *testing.T) {
	t.Parallel()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	shop, now := schemas.BotID{Tenant: "default", Bot: "shop"}, time.Now()
	const orders = "https://shop.example/orders"
	state, err := json.Marshal(limit.StateChange{
		Endpoint: limit.Endpoint{BotID: shop, URL: orders}, State: limit.StateOpen, Until: now.Add(time.Hour), Why: "5 failures",
	})
	require.NoError(t, err)
	require.NoError(t, store.NewEndpoints(streams).Tell(t.Context(), shop, orders, state))
	states := func() (all []string) {
		list, err := Endpoints(t.Context(), streams)
		require.NoError(t, err)
		for _, one := range list {
			all = append(all, one.State)
		}
		return all
	}
	require.NoError(t, Decide(t.Context(), streams, store.Pause{BotID: shop, URL: orders, At: now}))
	require.ElementsMatch(t, []string{"held", "open"}, states())
	require.NoError(t, Decide(t.Context(), streams, store.Pause{BotID: shop, At: now, By: "ann", Until: now.Add(-time.Second)}))
	require.NoError(t, Decide(t.Context(), streams, store.Pause{BotID: schemas.BotID{Tenant: "acme", Bot: "bank"}, At: now, By: "bob"}))
	require.NoError(t, Decide(t.Context(), streams, store.Pause{BotID: shop, URL: orders, At: now, Resumed: true}))
	require.Empty(t, states())
	bots, err := Bots(t.Context(), streams)
	require.NoError(t, err)
	require.Equal(t, []Shown{{BotID: schemas.BotID{Tenant: "acme", Bot: "bank"}, State: "paused", By: "bob"}}, bots, "in force")
}

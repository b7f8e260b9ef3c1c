package cli_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func TestPauses_OfEndpoints(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	run := func(args ...string) (string, int) {
		w := &world{env: n.at()}
		status := w.run(testContext(t), cli.StarterCommand(), append([]string{"endpoints"}, args...)...)
		return w.out.String() + w.err.String(), status
	}
	const orders = "https://shop.example/orders"
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	open, err := json.Marshal(limit.StateChange{
		Endpoint: limit.Endpoint{BotID: shop, URL: orders}, State: limit.StateDisabled, Why: "answered 410",
	})
	require.NoError(t, err)
	_, status := run("list")
	require.Equal(t, 3, status)
	require.NoError(t, store.NewEndpoints(n.streams).Tell(testContext(t), shop, orders, open))

	for _, args := range [][]string{{"pause", orders, "--bot", "shop"}, {"pause", orders, "--bot", "shop", "--dry-run"}} {
		run(args...)
	}
	out, status := run("list", "--bot", "shop")
	require.Zero(t, status)
	require.Regexp(t, `default +shop +https://shop.example/orders +disabled +- +- +answered 410`, out)
	require.NotContains(t, out, "held", "nothing was confirmed")

	out, status = run("pause", orders+"?key=1", "--bot", "shop", "--for", "1h", "--actor", "ann", "--reason", "maintenance", "--log-format", "text", "--yes")
	require.Zero(t, status)
	require.Contains(t, out, "done: pause endpoint https://shop.example/orders of bot shop of tenant default until 20")
	require.Contains(t, out, `msg="operator action" action=endpoint_pause operation=`)
	out, _ = run("list")
	require.Regexp(t, `https://shop.example/orders +held +20\S+ +ann +maintenance`, out)
	_, status = run("list", "--bot", "bank")
	require.Equal(t, 3, status)

	_, status = run("resume", orders, "--bot", "shop", "--yes")
	require.Zero(t, status)
	_, status = run("list")
	require.Equal(t, 3, status, "neither the pause nor the state that the workers share is left")
	for _, args := range [][]string{
		{"pause", "shop.example/orders", "--bot", "shop", "--yes"}, {"pause", "https://u:p@shop.example/orders", "--bot", "shop", "--yes"}, {"pause", orders, "--bot", "a b", "--yes"},
		{"pause", orders, "--yes"}, {"pause", orders, "--bot", "shop", "--for", "-1h", "--yes"},
	} {
		_, status = run(args...)
		require.Equal(t, 2, status, args)
	}

	for _, verb := range []string{"pause", "resume"} {
		for _, confirmed := range []string{"--yes", "--dry-run"} {
			out, status = run(verb, "https://shop.example/ordres", "--bot", "shop", confirmed)
			require.Equal(t, 3, status, out)
			require.Contains(t, out, "bot shop of tenant default has no endpoint https://shop.example/ordres")
		}
	}
	_, status = run("pause", "https://shop.example/later", "--bot", "shop", "--unknown", "--yes")
	require.Zero(t, status)
	_, status = run("resume", "https://other.example/state", "--bot", "later", "--unknown", "--yes")
	require.Zero(t, status)
}

func TestPauses_OfBots(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	require.Contains(t, fail(t, &world{env: n.at()}, "bots", "pause", "shop"), "not confirmed, nothing was done: pause bot shop of tenant default")
	succeed(t, &world{env: n.at()}, "bots", "pause", "shop", "--yes")
	require.Regexp(t, `default +shop +- +paused +- +\S+`, succeed(t, &world{env: n.at()}, "bots", "list"))
	decided, err := store.NewPauses(n.streams).List(testContext(t))
	require.NoError(t, err)
	require.Len(t, decided, 1)
	require.True(t, decided[0].Active(time.Now().Add(1000*time.Hour)), "until it is resumed")
	succeed(t, &world{env: n.at()}, "bots", "resume", "shop", "--yes")
	require.Contains(t, fail(t, &world{env: n.at()}, "bots", "list"), "none of the bots that match is paused")

	env := n.at()
	succeed(t, &world{env: env}, "bots", "pause", "broken", "--yes")
	succeed(t, &world{env: env}, "bots", "pause", "next-week", "--unknown", "--yes")
	succeed(t, &world{env: env}, "bots", "resume", "next-week", "--yes")
}

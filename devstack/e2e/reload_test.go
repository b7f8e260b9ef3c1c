package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// TestReload_BotFile changes a bot file under a running engine: a bad file changes nothing, a good one takes effect for
// the next events, and a step that runs meanwhile ends by the file with which it began.
func TestReload_BotFile(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", ok)
	samples.Handle("/held", g.ServeHTTP)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := bots(t, samples.URL())
	file := filepath.Join(dir, "shop.yaml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	_, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	e.request(t, "shop", "running", "HELD")
	g.await(t, 1)

	require.NoError(t, os.WriteFile(file, append(before, "surprise: 1\n"...), 0o600))
	e.request(t, "shop", "bad", "ORDER")
	require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", "bad", 1)[0].Outcome)

	changed := fmt.Sprintf("bot: shop\nbase_urls: {test: %q}\nsteps: {NEW: {webhook: {path: /orders}}}\n", samples.URL())
	require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
	for n := 1; ; n++ { // the file is seen within moments; until then the step is unknown
		e.request(t, "shop", "new", "NEW")
		last := e.replied(t, "shop", "new", n)[n-1]
		if last.Outcome == schemas.OutcomeSuccess {
			break
		}
		requireKind(t, "unknown_step", last)
		require.Less(t, n, 10_000, "the file was never read")
	}
	close(g.open)
	require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", "running", 1)[0].Outcome)
}

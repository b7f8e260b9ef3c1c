package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// TestWalls_EngineThatFillsTheStream: the engine of one tenant, whose endpoint does not answer, publishes with its own NATS
// user more than the stream of events holds. The events of another tenant are accepted and succeed meanwhile. Each event that
// was accepted of the first has one reply: of its endpoint when it answers again, or queue_full.
func TestWalls_EngineThatFillsTheStream(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{LedgerSize: 20_000})
	release := make(chan struct{})
	samples.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
			ok(w, r)
		case <-r.Context().Done():
		}
	})
	samples.Handle("/quick", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	for tenant, name := range map[string]string{"default": "shop", "bcme": "mall"} {
		content := fmt.Sprintf("bot: %s\ntenant: %s\nbase_urls: {test: %q}\nsteps:\n  SLOW: {webhook: {path: /slow, %s}}\n"+
			"  QUICK: {webhook: {path: /quick}}\n", name, tenant, samples.URL(), unhurried)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600))
	}
	s, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	require.NoError(t, bus.Resize(t.Context(), e.operator, bus.StreamOptions{Sizes: map[string]int64{"events": 3 << 20}}, func(string, string) {}))
	nc, err := nats.Connect(s.NATS.UserURL(servers.Engine))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	hostile, err := jetstream.NewWithDomain(nc, permissions.Domain)
	require.NoError(t, err)
	message := func(of schemas.BotID, conversation, id, step, text string) *nats.Msg {
		return &nats.Msg{
			Subject: schemas.Subject(schemas.SubjectEvents, of.WithConversation(conversation)), Header: nats.Header{"Nats-Msg-Id": {id}},
			Data: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested","time":%q,`+
				`"subject":%q,"data":{"step":%q,"variables":{"text":%q}}}`, id, time.Now().UTC().Format(time.RFC3339), conversation, step, text),
		}
	}
	shop, mall := schemas.BotID{Tenant: "default", Bot: "shop"}, schemas.BotID{Tenant: "bcme", Bot: "mall"}
	text := strings.Repeat("x", 2<<10)
	futures := map[string]jetstream.PubAckFuture{}
	for n := range 2500 { // about twice what the stream holds
		id := fmt.Sprintf("shop-%d", n)
		futures[id], err = hostile.PublishMsgAsync(message(shop, fmt.Sprintf("c-%d", n%20), id, "SLOW", text), jetstream.WithStallWait(3*patience))
		require.NoError(t, err)
	}
	const others = 50
	for n := range others {
		require.Eventually(t, func() bool {
			_, err := e.operator.PublishMsg(t.Context(), message(mall, fmt.Sprintf("m-%d", n), fmt.Sprintf("mall-%d", n), "QUICK", ""))
			return err == nil
		}, 3*patience, 20*time.Millisecond, "event %d of the other tenant is not accepted", n)
	}
	for n := range others {
		require.NoError(t, e.await(func() bool { return e.repliesOf("/hookturn/bcme/mall", fmt.Sprintf("m-%d", n)) == 1 }))
	}
	close(release)
	stored := map[string]int{}
	for id, future := range futures {
		select {
		case <-future.Ok():
			stored[id] = 0
		case err := <-future.Err():
			require.True(t, natsclient.IsStreamFull(err), err)
		case <-time.After(3 * patience):
			t.Fatal("an event was neither stored nor refused")
		}
	}
	require.NoError(t, e.await(func() bool {
		n := 0
		for c := range 20 {
			n += e.repliesOf("/hookturn/default/shop", fmt.Sprintf("c-%d", c))
		}
		return n >= len(stored)
	}))
	requireOneEach(t, e, stored, others)
}

// requireOneEach checks the replies of TestWalls_EngineThatFillsTheStream.
func requireOneEach(t *testing.T, e *engine, stored map[string]int, others int) {
	t.Helper()
	full := 0
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replies {
		if r.Type != schemas.TypeStepReplied {
			continue
		}
		var data schemas.StepReplied
		require.NoError(t, json.Unmarshal(r.Data, &data))
		if r.Source == "/hookturn/bcme/mall" {
			require.Equal(t, schemas.OutcomeSuccess, data.Outcome)
			others--
			continue
		}
		stored[data.EventID]++
		if data.Outcome == schemas.OutcomeRejected {
			requireKind(t, "queue_full", data)
			full++
			continue
		}
		require.Equal(t, schemas.OutcomeSuccess, data.Outcome, "%+v", data.Error)
	}
	require.Zero(t, others)
	for id, n := range stored {
		require.Equal(t, 1, n, id)
	}
	require.Positive(t, full)
	t.Logf("%d events accepted, %d of them answered with queue_full", len(stored), full)
}

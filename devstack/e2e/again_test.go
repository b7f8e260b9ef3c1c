package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// startBothOrderings starts the stack with two bots that have the same steps: shop, whose events have the order of their
// conversation, and free, whose events have none.
func startBothOrderings(t *testing.T) (*stack.Stack, *engine, *endpoint.Endpoint) {
	t.Helper()
	samples := endpoint.New(endpoint.Options{LedgerSize: 1000})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	files := t.TempDir()
	for name, ordering := range map[string]string{"shop": "conversation", "free": "none"} {
		text := fmt.Sprintf("bot: %s\nordering: %s\nbase_urls: {test: %q}\nbot_break: {default: Sorry.}\nsteps:\n"+
			"  ORDER: {webhook: {path: /orders}}\n  LAST: {end_step: true, webhook: {path: /orders}}\n", name, ordering, samples.URL())
		require.NoError(t, os.WriteFile(filepath.Join(files, name+".yaml"), []byte(text), 0o600))
	}
	s, e := startWith(t, stack.Options{Bots: files, Endpoint: samples})
	return s, e, samples
}

// TestEvents_PublishedAgain: an engine publishes events again, as they were, after the streams of events and of replies were
// lost, and with them JetStream's tables of ids. Each event is recognised by its conversation, open or closed, or by its step:
// the endpoint is not called again, and the engine gets the replies again, under their ids and in their order.
func TestEvents_PublishedAgain(t *testing.T) {
	t.Parallel()
	s, e, samples := startBothOrderings(t)
	js := developer(t, s.NATS.URL())

	made := time.Now().Add(-time.Minute).UTC() // JetStream recognises ids for ten
	publish := func(bot, conversation, id, step string) {
		t.Helper()
		event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested","time":%q,`+
			`"subject":%q,"data":{"step":%q}}`, id, made.Format(time.RFC3339Nano), conversation, step)
		ack, err := js.Publish(t.Context(), "hookturn.events.default."+bot+"."+conversation, event, jetstream.WithMsgID(id))
		require.NoError(t, err)
		require.False(t, ack.Duplicate)
	}
	rounds := map[string][]string{"open": {"ORDER"}, "closed": {"LAST"}, "open-again": {"LAST", "ORDER"}, "twice": {"LAST", "LAST"}}
	for conversation, steps := range rounds {
		for n, step := range steps {
			publish("shop", conversation, fmt.Sprintf("%s-%d", conversation, n), step)
		}
		e.replied(t, "shop", conversation, len(steps))
	}
	publish("free", "alone", "alone-0", "ORDER")
	e.replied(t, "free", "alone", 1)

	before := e.all()
	for _, name := range []string{schemas.StreamEvents, schemas.StreamReplies} {
		lose(t, js, name)
	}
	after := newEngine(t, s.NATS.URL())
	publish("free", "alone", "alone-0", "ORDER")
	after.replied(t, "free", "alone", 1)
	for conversation, steps := range rounds {
		for n, step := range steps {
			publish("shop", conversation, fmt.Sprintf("%s-%d", conversation, n), step)
		}
		last := after.request(t, "shop", conversation, "ORDER") // comes after them, in the order of the conversation
		all := after.replied(t, "shop", conversation, len(steps)+1)
		require.Equal(t, last, all[len(steps)].EventID, conversation)
	}
	again := map[string]schemas.Reply{}
	for _, r := range after.all() {
		_, twice := again[r.ID]
		require.False(t, twice, "reply %s is stored twice", r.ID)
		again[r.ID] = r
	}
	for _, r := range before {
		require.Contains(t, again, r.ID, "a %s is lost", r.Type)
		require.JSONEq(t, string(r.Data), string(again[r.ID].Data))
	}
	requests := map[string]int{}
	for _, r := range samples.Ledger().All() {
		requests[r.WebhookID]++
	}
	for id, n := range requests {
		require.Equal(t, 1, n, "the endpoint received %s more than once", id)
	}
}

// lose deletes a stream, and waits until it is made again.
func lose(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	lost, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	deleteStream(t, js, name)
	require.Eventually(t, func() bool {
		now, err := js.Stream(t.Context(), name)
		return err == nil && !now.CachedInfo().Created.Equal(lost.CachedInfo().Created)
	}, patience, 50*time.Millisecond, "stream %s is not made again", name)
}

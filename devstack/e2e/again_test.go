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

// TestEvents_PublishedAgain: an engine publishes events again, as they were, after the stream and with it JetStream's table of
// ids was lost; the replies are gone as well. Each event is recognised by its conversation, open or closed, or by its step.
func TestEvents_PublishedAgain(t *testing.T) {
	t.Parallel()
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

	lost, err := js.Stream(t.Context(), schemas.StreamEvents)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), schemas.StreamEvents))
	require.Eventually(t, func() bool {
		now, err := js.Stream(t.Context(), schemas.StreamEvents)
		return err == nil && !now.CachedInfo().Created.Equal(lost.CachedInfo().Created)
	}, patience, 50*time.Millisecond, "the stream is not made again")
	replies, err := js.Stream(t.Context(), schemas.StreamReplies)
	require.NoError(t, err)
	require.NoError(t, replies.Purge(t.Context()))

	publish("free", "alone", "alone-0", "ORDER")
	for conversation, steps := range rounds {
		for n, step := range steps {
			publish("shop", conversation, fmt.Sprintf("%s-%d", conversation, n), step)
		}
		last := e.request(t, "shop", conversation, "ORDER") // comes after them, in the order of the conversation
		all := e.replied(t, "shop", conversation, len(steps)+1)
		require.Equal(t, last, all[len(steps)].EventID, "%s: an event was answered twice", conversation)
	}
	e.request(t, "free", "alone", "ORDER")
	e.replied(t, "free", "alone", 2)
	requests := map[string]int{}
	for _, r := range samples.Ledger().All() {
		requests[r.WebhookID]++
	}
	for id, n := range requests {
		require.Equal(t, 1, n, "the endpoint received %s more than once", id)
	}
}

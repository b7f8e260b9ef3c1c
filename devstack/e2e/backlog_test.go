package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/schemas"
)

// TestEventReader_LongConversationDelaysNoOther: 2,100 events of one conversation wait for an endpoint that takes 3 s;
// other conversations of its tenant and those of another tenant are answered before the long one has twenty more replies.
func TestEventReader_LongConversationDelaysNoOther(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{LedgerSize: 5000})
	samples.Handle("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(3 * time.Second):
			ok(w, r)
		case <-r.Context().Done():
		}
	})
	samples.Handle("/quick", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	for tenant, name := range map[string]string{"acme": "shop", "bcme": "mall"} {
		content := fmt.Sprintf("bot: %s\ntenant: %s\nbase_urls: {test: %q}\nsteps:\n  SLOW: {webhook: {path: /slow}}\n"+
			"  QUICK: {webhook: {path: /quick}}\n", name, tenant, samples.URL())
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600))
	}
	_, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	var acks []jetstream.PubAckFuture
	publish := func(bot schemas.BotID, conversation, step string, n int) {
		id := fmt.Sprintf("%s-%s-%d", bot.Bot, conversation, n)
		event := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested",`+
			`"time":"2026-11-20T12:00:00Z","subject":%q,"data":{"step":%q}}`, id, conversation, step)
		ack, err := e.operator.PublishMsgAsync(&nats.Msg{
			Subject: schemas.Subject(schemas.SubjectEvents, bot.WithConversation(conversation)),
			Header:  nats.Header{"Nats-Msg-Id": {id}}, Data: []byte(event),
		}, jetstream.WithStallWait(patience))
		require.NoError(t, err)
		acks = append(acks, ack)
	}
	stored := func() {
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				require.NoError(t, err)
			case <-time.After(2 * patience):
				t.Fatal("an event was not stored")
			}
		}
		acks = nil
	}
	shop, mall := schemas.BotID{Tenant: "acme", Bot: "shop"}, schemas.BotID{Tenant: "bcme", Bot: "mall"}
	for n := range 2100 {
		publish(shop, "long", "SLOW", n)
	}
	stored()
	long := func() int { return e.repliesOf("/hookturn/acme/shop", "long") }
	require.NoError(t, e.await(func() bool { return long() >= 1 }))
	for n := range 50 {
		// Sixteen conversations: some of them share the partition of the long one.
		publish(mall, fmt.Sprintf("c-%d", n%16), "QUICK", n)
		publish(shop, fmt.Sprintf("c-%d", n%16), "QUICK", n)
	}
	stored()
	before := long()
	answered := func() int {
		n := 0
		for c := range 16 {
			n += e.repliesOf("/hookturn/bcme/mall", fmt.Sprintf("c-%d", c)) + e.repliesOf("/hookturn/acme/shop", fmt.Sprintf("c-%d", c))
		}
		return n
	}
	require.NoError(t, e.await(func() bool { return answered() == 100 || long() >= before+20 }))
	require.Equal(t, 100, answered(), "the long conversation has %d replies, %d before", long(), before)
}

// repliesOf counts the replies of a conversation to steps.
func (e *engine) repliesOf(source, conversation string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, r := range e.replies {
		if r.Source == source && r.Subject == conversation && r.Type == schemas.TypeStepReplied {
			n++
		}
	}
	return n
}

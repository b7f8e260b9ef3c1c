package endpoint_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
)

const (
	patience = time.Minute
	interval = 5 * time.Millisecond
)

func step(conversation int) string {
	return fmt.Sprintf(`{"step":"S","user":{"user_id":"u"},"conversation_no":%d}`, conversation)
}

func TestLedger_KnowsWhatCame(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{})
	send(t, request(t, e.URL()+"/status/503", step(1), header("webhook-id", "a"), header("hookturn-attempt", "1")))
	send(t, request(t, e.URL()+"/echo", step(1), header("webhook-id", "a"), header("hookturn-attempt", "2")))
	send(t, request(t, e.URL()+"/echo", step(2), header("webhook-id", "b")))
	send(t, request(t, e.URL()+"/echo", `{"subject":"c-42","data":{"step":"T"}}`))
	send(t, request(t, e.URL()+"/echo", `no JSON`))
	ledger := e.Ledger()
	require.Equal(t, 5, ledger.Len())

	first := ledger.ByWebhookID("a")
	require.Len(t, first, 2)
	require.Equal(t, []int{1, 2}, []int{first[0].Attempt, first[1].Attempt})
	require.Equal(t, []int{503, 200}, []int{first[0].Status, first[1].Status})
	require.Equal(t, step(1), string(first[0].Body))
	require.False(t, first[0].Out.Before(first[0].In))
	require.False(t, first[1].In.Before(first[0].Out))

	require.Len(t, ledger.ByConversation(endpoint.ConversationKey("u", 1)), 2)
	require.Equal(t, "T", ledger.ByConversation("c-42")[0].Step)
	require.Len(t, ledger.ByPath("/echo"), 4)
	require.Equal(t, 1, ledger.MaxOverlap(endpoint.PerConversation))

	ledger.Reset()
	require.Empty(t, ledger.All())
}

func TestLedger_Bounded(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{LedgerSize: 2})
	for n := range 5 {
		send(t, request(t, e.URL()+"/echo", step(n)))
	}
	require.Equal(t, 2, e.Ledger().Len())
	require.Equal(t, 3, e.Ledger().Dropped())
	require.Equal(t, 4, e.Ledger().All()[1].ConversationNo)
}

// TestMaxOverlap holds two requests of one conversation and one of another inside the endpoint at the same time.
func TestMaxOverlap(t *testing.T) {
	t.Parallel()
	e := start(t, endpoint.Options{})
	release := make(chan struct{})
	e.Handle("/held", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		endpoint.Text("ok").Send(w, http.StatusOK)
	})
	var callers sync.WaitGroup
	for _, conversation := range []int{1, 1, 2} {
		req := request(t, e.URL()+"/held", step(conversation))
		callers.Go(func() { _, _, _ = do(req) })
	}
	require.Eventually(t, func() bool { return e.Ledger().Len() == 3 }, patience, interval)
	require.Equal(t, 2, e.Ledger().MaxOverlap(endpoint.PerConversation))
	require.Equal(t, 3, e.Ledger().MaxOverlap(endpoint.PerPath))
	close(release)
	callers.Wait()
	send(t, request(t, e.URL()+"/echo", step(1)))
	require.Equal(t, 2, e.Ledger().MaxOverlap(endpoint.PerConversation))
	require.Zero(t, e.Ledger().MaxOverlap(func(endpoint.Entry) string { return "" }))
}

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/schemas"
)

const callbackBot = `bot: later
base_urls: {test: %q}
steps:
  LATER: {webhook: {dialect: plain, path: /later, timeout: 1h, attempt_timeout: 30s}}
  PLAIN: {webhook: {path: /orders}}
`

// TestCallback_BehindWaitingEvents: a conversation sends more events behind a step that waits for its callback than the
// server accepts unfinished Updates. The callback is one of them and finds a place.
func TestCallback_BehindWaitingEvents(t *testing.T) {
	t.Parallel()
	const waiting = 11
	samples, address := endpoint.New(endpoint.Options{}), make(chan string, 1)
	samples.Handle("/orders", ok)
	samples.Handle("/later", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		offer(address, r.Header.Get("Hookturn-Callback"))
	})
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "later.yaml"), fmt.Appendf(nil, callbackBot, samples.URL()), 0o600))
	_, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0"}})
	ids := []string{e.request(t, "later", "c-1", "LATER")}
	callback := next(t, address, "the request of step LATER")
	for range waiting {
		ids = append(ids, e.request(t, "later", "c-1", "PLAIN"))
	}
	require.Eventually(t, func() bool { // the other events wait in the stream
		events, err := e.operator.Stream(t.Context(), schemas.StreamEvents)
		return err == nil && events.CachedInfo().State.Msgs <= waiting-8
	}, patience, 10*time.Millisecond)
	// It is sent again after a 503: an event that is being rejected takes the place for a moment.
	status, body := callBack(t, callback, `{"messages":["At last."]}`)
	require.Equal(t, http.StatusAccepted, status, body)
	replies := e.replied(t, "later", "c-1", waiting+1)
	require.Equal(t, []schemas.Message{schemas.Text("At last.")}, replies[0].Messages)
	for i, r := range replies {
		require.Equal(t, ids[i], r.EventID)
		require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	}
}

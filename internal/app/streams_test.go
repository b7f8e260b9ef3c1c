package app

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// startStreams starts a NATS server with all streams and returns a connection to it.
func startStreams(t *testing.T) (bus.JetStream, bus.Streams) {
	t.Helper()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{})
	require.NoError(t, err)
	return js, streams
}

// TestObserveStreams: each reason of a failed write is there at 0.
func TestObserveStreams(t *testing.T) {
	t.Parallel()
	js, _ := startStreams(t)
	m := telemetry.NewMetrics()
	scrape := func() string {
		answer := httptest.NewRecorder()
		m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return answer.Body.String()
	}
	observeStreams(js, m)
	for _, reason := range bus.WriteFailureReasons() {
		require.Contains(t, scrape(), `hookturn_nats_write_failures_total{reason="`+reason+`"} 0`)
	}
}

package app

import (
	"log/slog"
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

// TestObserveStreams: the metrics of streams are there from the start of a process until it stops, and each reason of a
// failed write is there at 0.
func TestObserveStreams(t *testing.T) {
	t.Parallel()
	js, _ := startStreams(t)
	m, p := telemetry.NewMetrics(), parts{log: slog.New(slog.DiscardHandler)}
	scrape := func() string {
		answer := httptest.NewRecorder()
		m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return answer.Body.String()
	}
	observeStreams(js, m, &p)
	for _, stream := range []string{"HOOKTURN_EVENTS", "HOOKTURN_REPLIES", "HOOKTURN_DEADLETTERS"} {
		require.Contains(t, scrape(), `hookturn_stream_used_ratio{stream="`+stream+`"} 0`)
		require.Contains(t, scrape(), `hookturn_stream_oldest_seconds{stream="`+stream+`"} 0`)
	}
	for _, reason := range bus.WriteFailureReasons() {
		require.Contains(t, scrape(), `hookturn_nats_write_failures_total{reason="`+reason+`"} 0`)
	}
	require.NoError(t, p.stop(t.Context()))
	require.NotContains(t, scrape(), "hookturn_stream_used_ratio")
}

package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"github.com/hookturn/hookturn/internal/telemetry"
)

func TestKeptMetrics_SameSeries(t *testing.T) {
	kept, plain := telemetry.NewMetrics(), telemetry.NewMetrics()
	handler, err := sdkMetrics(kept)
	require.NoError(t, err)
	meter, err := plain.Meter()
	require.NoError(t, err)
	for _, h := range []client.MetricsHandler{handler, opentelemetry.NewMetricsHandler(
		opentelemetry.MetricsHandlerOptions{Meter: meter, UseMonotonicCounters: true})} {
		for range 3 { // the first makes the instruments, the others find them
			base := h.WithTags(map[string]string{"namespace": "default"})
			base.WithTags(map[string]string{"operation": "A", "queue": "q"}).Counter("requests").Inc(1)
			base.WithTags(map[string]string{"queue": "q", "operation": "A"}).Counter("requests").Inc(1)
			base.WithTags(map[string]string{"operation": "B"}).Counter("requests").Inc(1)
			base.WithTags(map[string]string{"operatio": "n\x00B"}).Counter("requests").Inc(1) // not the tags above
			base.Gauge("slots").Update(7)
			base.Timer("latency").Record(1000)
		}
	}
	require.Equal(t, series(t, plain), series(t, kept))
	require.Equal(t, 3, strings.Count(series(t, kept), "counter:"))
}

// series is what a scrape returns.
func series(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	families, err := m.Registry().Gather()
	require.NoError(t, err)
	var b strings.Builder
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "requests") || strings.HasPrefix(f.GetName(), "slots") ||
			strings.HasPrefix(f.GetName(), "latency") {
			b.WriteString(f.String() + "\n")
		}
	}
	return b.String()
}

// BenchmarkKeptMetrics is what one request of the SDK asks of its metrics, with and without keeping instruments.
func BenchmarkKeptMetrics(b *testing.B) {
	m := telemetry.NewMetrics()
	meter, err := m.Meter()
	require.NoError(b, err)
	plain := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: meter, UseMonotonicCounters: true})
	for name, h := range map[string]client.MetricsHandler{"plain": plain, "kept": newKeptMetrics(plain)} {
		b.Run(name, func(b *testing.B) {
			base := h.WithTags(map[string]string{"namespace": "default"})
			for b.Loop() {
				tagged := base.WithTags(map[string]string{"operation": "PollWorkflowTaskQueue", "task_queue": "hookturn"})
				tagged.Counter("temporal_request").Inc(1)
				tagged.Timer("temporal_request_latency").Record(1000)
			}
		})
	}
}

package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// sdkMetrics exports the metrics of the Temporal SDK together with ours.
func sdkMetrics(m *telemetry.Metrics) (client.MetricsHandler, error) {
	meter, err := m.Meter()
	if err != nil {
		return nil, fmt.Errorf("export the Temporal SDK's metrics: %w", err)
	}
	return newKeptMetrics(opentelemetry.NewMetricsHandler(
		opentelemetry.MetricsHandlerOptions{Meter: meter, UseMonotonicCounters: true})), nil
}

// keptMetrics is a handler that keeps the handlers of tags and the instruments that it has made. The SDK asks for them again
// with every request, and OpenTelemetry then sorts and hashes the tags and looks the instrument up. The tags of the SDK name
// operations, task queues and types, of which a worker has some dozens.
type keptMetrics struct {
	client.MetricsHandler

	tagged                   sync.Map // tags as text to handler
	counters, gauges, timers sync.Map // name to instrument
}

func newKeptMetrics(h client.MetricsHandler) *keptMetrics { return &keptMetrics{MetricsHandler: h} }

// WithTags returns the handler of more tags.
func (k *keptMetrics) WithTags(tags map[string]string) client.MetricsHandler {
	return kept(&k.tagged, tagsKey(tags), func(string) client.MetricsHandler {
		return &keptMetrics{MetricsHandler: k.MetricsHandler.WithTags(tags)}
	})
}

// Counter returns the counter of a name.
func (k *keptMetrics) Counter(name string) client.MetricsCounter {
	return kept(&k.counters, name, k.MetricsHandler.Counter)
}

// Gauge returns the gauge of a name.
func (k *keptMetrics) Gauge(name string) client.MetricsGauge {
	return kept(&k.gauges, name, k.MetricsHandler.Gauge)
}

// Timer returns the timer of a name.
func (k *keptMetrics) Timer(name string) client.MetricsTimer {
	return kept(&k.timers, name, k.MetricsHandler.Timer)
}

// Unwrap returns the handler of OpenTelemetry.
func (k *keptMetrics) Unwrap() client.MetricsHandler { return k.MetricsHandler }

// kept returns what is kept under a key, made by fresh when nothing is.
func kept[I any](all *sync.Map, key string, fresh func(string) I) I {
	found, ok := all.Load(key)
	if !ok {
		found, _ = all.LoadOrStore(key, fresh(key))
	}
	value, _ := found.(I) // nothing else is stored
	return value
}

// tagsKey is one text for each set of tags.
func tagsKey(tags map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		b.WriteString(name)
		b.WriteByte(0)
		b.WriteString(tags[name])
		b.WriteByte(0)
	}
	return b.String()
}

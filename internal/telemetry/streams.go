package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stream is how full a stream of JetStream is.
type Stream struct {
	Name   string
	Used   float64       // share of what it may hold, 0 to 1; 0 for a stream without a bound
	Oldest time.Duration // age of its oldest message; 0 when it is empty
}

// WatchStreams exports the streams that now returns until stop is called.
func (m *Metrics) WatchStreams(now func() []Stream) (stop func()) { return m.streams.add(now) }

var (
	streamUsed = prometheus.NewDesc("hookturn_stream_used_ratio",
		"Share of the bytes, or of the messages where that is more, that a stream may hold. 0 without a bound.",
		[]string{"stream"}, nil)
	streamOldest = prometheus.NewDesc("hookturn_stream_oldest_seconds",
		"Age of the oldest message of a stream; 0 when it is empty.", []string{"stream"}, nil)
)

// streams are the streams that the parts of this process know, which may be the same ones.
type streams struct{ watched[[]Stream] }

// Describe implements prometheus.Collector.
func (*streams) Describe(all chan<- *prometheus.Desc) {
	all <- streamUsed
	all <- streamOldest
}

// Collect implements prometheus.Collector.
func (s *streams) Collect(all chan<- prometheus.Metric) {
	byName := map[string]Stream{}
	for _, known := range s.read() {
		for _, one := range known {
			byName[one.Name] = one
		}
	}
	for name, one := range byName {
		all <- prometheus.MustNewConstMetric(streamUsed, prometheus.GaugeValue, one.Used, name)
		all <- prometheus.MustNewConstMetric(streamOldest, prometheus.GaugeValue, one.Oldest.Seconds(), name)
	}
}

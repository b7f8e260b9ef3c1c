package telemetry

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Build records which build this process is: hookturn_build_info has the value 1. Calling it again replaces the labels.
func (m *Metrics) Build(version, revision, goVersion string) {
	if m == nil {
		return
	}
	m.build.Reset()
	m.build.WithLabelValues(version, revision, goVersion).Set(1)
}

func newBuild() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "hookturn_build_info", Help: "Build of this process, with the value 1.",
	}, []string{"version", "revision", "goversion"})
}

var slotsUsed = prometheus.NewDesc("hookturn_step_slots_used_ratio",
	"Share of this worker's slots for steps that is in use, by task queue; at 1 the worker takes on no new step.",
	[]string{"task_queue"}, nil)

// workers are the slots of the workers of this process, by task queue. They are read at each scrape.
type workers struct {
	mu  sync.Mutex
	now map[string]func() float64
}

// WatchSlots exports the share of slots in use of the worker of a task queue, until stop is called.
func (m *Metrics) WatchSlots(queue string, used func() float64) (stop func()) {
	m.workers.mu.Lock()
	defer m.workers.mu.Unlock()
	if m.workers.now == nil {
		m.workers.now = map[string]func() float64{}
	}
	m.workers.now[queue] = used
	return func() {
		m.workers.mu.Lock()
		defer m.workers.mu.Unlock()
		delete(m.workers.now, queue)
	}
}

// Describe implements prometheus.Collector.
func (*workers) Describe(all chan<- *prometheus.Desc) { all <- slotsUsed }

// Collect implements prometheus.Collector. A process without a worker does not have this metric.
func (w *workers) Collect(all chan<- prometheus.Metric) {
	w.mu.Lock()
	now := maps.Clone(w.now)
	w.mu.Unlock()
	for queue, used := range now {
		all <- prometheus.MustNewConstMetric(slotsUsed, prometheus.GaugeValue, used(), queue)
	}
}

package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Reader holds the metrics of an event reader.
type Reader struct {
	Backlog       uint64 // of the whole stream: all readers of an installation report the same number
	Held          int
	Conversations int
	Retrying      int
	ParkedTenants int
	KeptBytes     int64
	Slots         map[string]Slots // by tenant
}

// Slots are the slots of one tenant in an event reader.
type Slots struct{ Running, Waiting, Limit int }

// WatchReader exports the metrics of an event reader until stop is called.
func (m *Metrics) WatchReader(now func() Reader) (stop func()) { return m.readers.add(now) }

var (
	readerBacklog = prometheus.NewDesc("hookturn_backlog_events",
		"Events in the event stream that are not acknowledged, pending ones included, over all partitions.", nil, nil)
	readerHeld = prometheus.NewDesc("hookturn_events_held",
		"Events that this starter has read and not yet delivered, without those of parked tenants.", nil, nil)
	readerConversations = prometheus.NewDesc("hookturn_conversations_held",
		"Conversations with events that are not delivered, by state: retry (waiting for the next try) or ready (waiting "+
			"for a slot, or in delivery).",
		[]string{"state"}, nil)
	readerParked = prometheus.NewDesc("hookturn_parked_tenants",
		"Tenants with more conversations than a partition holds, counted for each partition.", nil, nil)
	readerKept = prometheus.NewDesc("hookturn_kept_bytes",
		"Bytes of event bodies in memory that wait for a slot.", nil, nil)
	readerSlots = prometheus.NewDesc("hookturn_slots",
		"Delivery slots of a tenant, by state: running, waiting (conversations that are ready) or limit (the maximum).",
		[]string{"tenant", "state"}, nil)
)

// readers are the event readers of this process.
type readers struct{ watched[Reader] }

// sum returns the metrics of all readers added up, and the number of readers.
func (r *readers) sum() (total Reader, n int) {
	all := r.read()
	total.Slots = map[string]Slots{}
	for _, one := range all {
		total.Backlog = max(total.Backlog, one.Backlog)
		total.Held += one.Held
		total.Conversations += one.Conversations
		total.Retrying += one.Retrying
		total.ParkedTenants += one.ParkedTenants
		total.KeptBytes += one.KeptBytes
		for tenant, s := range one.Slots {
			t := total.Slots[tenant]
			total.Slots[tenant] = Slots{t.Running + s.Running, t.Waiting + s.Waiting, t.Limit + s.Limit}
		}
	}
	return total, len(all)
}

// Describe implements prometheus.Collector.
func (*readers) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		readerBacklog, readerHeld, readerConversations, readerParked, readerKept, readerSlots,
	} {
		all <- d
	}
}

// Collect implements prometheus.Collector. A process without an event reader does not have these metrics.
func (r *readers) Collect(all chan<- prometheus.Metric) {
	total, n := r.sum()
	if n == 0 {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(readerBacklog, float64(total.Backlog))
	gauge(readerHeld, float64(total.Held))
	gauge(readerConversations, float64(total.Retrying), "retry")
	gauge(readerConversations, float64(total.Conversations-total.Retrying), "ready")
	gauge(readerParked, float64(total.ParkedTenants))
	gauge(readerKept, float64(total.KeptBytes))
	for tenant, s := range total.Slots {
		gauge(readerSlots, float64(s.Running), tenant, "running")
		gauge(readerSlots, float64(s.Waiting), tenant, "waiting")
		gauge(readerSlots, float64(s.Limit), tenant, "limit")
	}
}

package telemetry

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/hookturn/hookturn/schemas"
)

// Metrics are hookturn's own figures. Every method may be called on a nil *Metrics, so that tests need none.
type Metrics struct {
	registry *prometheus.Registry
	meter    func() (metric.Meter, error)

	events    *prometheus.CounterVec
	lag       *prometheus.HistogramVec
	attempts  *prometheus.CounterVec
	attempt   *prometheus.HistogramVec
	replies   *prometheus.CounterVec
	publish   prometheus.Histogram
	reloads   *prometheus.CounterVec
	badFiles  prometheus.Gauge
	lastLoad  prometheus.Gauge
	retries   *prometheus.CounterVec
	taken     prometheus.Counter
	letters   *prometheus.CounterVec
	recovered prometheus.Counter
	refused   *prometheus.CounterVec
	unwritten *prometheus.CounterVec
	gateway   *prometheus.HistogramVec
	sockets   prometheus.Gauge
	frames    *prometheus.CounterVec
	programs  *prometheus.CounterVec
	readers   readers
}

// NewMetrics makes a registry of its own: two processes in one test never share figures.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		events: counter("hookturn_events_total",
			"Events taken from NATS, by what was decided: accepted, duplicate, dead_letter or retry.", "tenant", "bot", "verdict"),
		lag: histogram("hookturn_event_lag_seconds",
			"From an event's arrival in JetStream to its acceptance by a workflow.", "tenant", "bot"),
		attempts: counter("hookturn_attempts_total",
			"HTTP requests made for steps, by status class or failure word.", "tenant", "bot", "step", "result"),
		programs: counter("hookturn_jq_runs_total",
			"Runs of jq programs, by result: ok, failed, timeout, memory, busy or denied.", "tenant", "result"),
		attempt: histogram("hookturn_attempt_seconds", "Duration of one HTTP request.", "tenant", "bot", "step"),
		replies: counter("hookturn_replies_total", "Replies stored in JetStream, by type.", "tenant", "bot", "type"),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hookturn_publish_seconds", Help: "Duration of publishing one reply, retries included.", Buckets: buckets,
		}),
		reloads: counter("hookturn_bot_file_loads_total", "Loads of the bot files, by result: good or bad.", "result"),
		badFiles: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_bot_files_bad", Help: "Bot files that are not in use as they are written, because they are bad.",
		}),
		lastLoad: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_bot_files_last_load_timestamp_seconds", Help: "Unix time of the latest load without a bad file.",
		}),
		retries: counter("hookturn_event_retries_total",
			"Tries to hand an event over that failed and are repeated, by the kind of the failure.", "tenant", "kind"),
		taken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hookturn_events_taken_over_total", Help: "Events that another starter had read and left behind.",
		}),
		unwritten: counter("hookturn_nats_write_failures_total",
			"Writes that JetStream did not store: no_space, stream_full, no_stream, timeout, connection or refused.", "reason"),
		refused: counter("hookturn_requests_refused_total",
			"Requests that were not made because of their endpoint's limits, by failure word.", "tenant", "bot", "step", "reason"),
		gateway: histogram("hookturn_gateway_seconds", "Duration of one request to the gateway.", "route", "status"),
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_sockets", Help: "Websockets that are open on this gateway.",
		}),
		frames: counter("hookturn_frames_total",
			"Calls that clients of websockets made, by name, and ok or the failure word.", "name", "result"),
		recovered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hookturn_events_recovered_total",
			Help: "Events of runs that ended without answering them, handed to a new run.",
		}),
		letters: counter("hookturn_dead_letters_total", "Dead letters stored, by failure word.", "reason"),
	}
	m.meter = sync.OnceValues(m.newMeter)
	m.registry.MustRegister(m.retries, &m.readers)
	m.registry.MustRegister(m.events, m.lag, m.attempts, m.attempt, m.replies, m.publish, m.reloads, m.badFiles, m.lastLoad, m.taken,
		m.letters, m.recovered, m.refused, m.unwritten, m.gateway, m.sockets, m.frames, m.programs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// buckets reach from a fast endpoint on the same machine to the longest attempt, in seconds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Registry holds every figure.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Meter takes figures of libraries that speak OpenTelemetry, such as the Temporal SDK, into the same registry.
func (m *Metrics) Meter() (metric.Meter, error) { return m.meter() }

func (m *Metrics) newMeter() (metric.Meter, error) {
	exporter, err := otelprom.New(
		otelprom.WithRegisterer(m.registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("hookturn"), nil
}

// Handler serves the figures in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Event counts the verdict on one event.
func (m *Metrics) Event(owner schemas.BotID, verdict string) {
	if m != nil {
		m.events.WithLabelValues(owner.Tenant, owner.Bot, verdict).Inc()
	}
}

// Accepted records how long an event waited for its workflow.
func (m *Metrics) Accepted(owner schemas.BotID, lag time.Duration) {
	if m != nil {
		m.lag.WithLabelValues(owner.Tenant, owner.Bot).Observe(lag.Seconds())
	}
}

// Attempt records one HTTP request; the result is a status class ("2xx") or a failure word.
func (m *Metrics) Attempt(owner schemas.BotID, step, result string, took time.Duration) {
	if m != nil {
		m.attempts.WithLabelValues(owner.Tenant, owner.Bot, step, result).Inc()
		m.attempt.WithLabelValues(owner.Tenant, owner.Bot, step).Observe(took.Seconds())
	}
}

// Refused counts a request that was not made because its endpoint is asked too much, down or gone.
func (m *Metrics) Refused(owner schemas.BotID, step, reason string) {
	if m != nil {
		m.refused.WithLabelValues(owner.Tenant, owner.Bot, step, reason).Inc()
	}
}

// NATSWriteFailed counts a write that JetStream did not store.
func (m *Metrics) NATSWriteFailed(reason string) {
	if m != nil {
		m.unwritten.WithLabelValues(reason).Inc()
	}
}

// Gateway records one request to the gateway; the route is its pattern, never its path.
func (m *Metrics) Gateway(route string, status int, took time.Duration) {
	if m != nil {
		m.gateway.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
	}
}

// Sockets counts websockets that were opened (1) and ended (-1).
func (m *Metrics) Sockets(delta int) {
	if m != nil {
		m.sockets.Add(float64(delta))
	}
}

// Program counts a run of a tenant's jq program, by how it ended.
func (m *Metrics) Program(tenant, result string) {
	if m != nil {
		m.programs.WithLabelValues(tenant, result).Inc()
	}
}

// Frame counts a call of a websocket's client, by its name and how it went.
func (m *Metrics) Frame(name, result string) {
	if m != nil {
		m.frames.WithLabelValues(name, result).Inc()
	}
}

// Reply records one reply that JetStream has stored.
func (m *Metrics) Reply(owner schemas.BotID, replyType string, took time.Duration) {
	if m != nil {
		m.replies.WithLabelValues(owner.Tenant, owner.Bot, replyType).Inc()
		m.publish.Observe(took.Seconds())
	}
}

// BotFiles records a load of the bot files: how many files are bad, when the latest load without a bad file was, and the
// error of this one.
func (m *Metrics) BotFiles(bad int, lastGood time.Time, err error) {
	if m == nil {
		return
	}
	result := "good"
	if err != nil {
		result = "bad"
	}
	m.reloads.WithLabelValues(result).Inc()
	m.badFiles.Set(float64(bad))
	if !lastGood.IsZero() {
		m.lastLoad.Set(float64(lastGood.UnixMilli()) / 1000)
	}
}

// Retried counts a try to hand an event over that failed and is repeated.
func (m *Metrics) Retried(tenant, kind string) {
	if m != nil {
		m.retries.WithLabelValues(tenant, kind).Inc()
	}
}

// TakenOver counts an event that another starter had left behind.
func (m *Metrics) TakenOver() {
	if m != nil {
		m.taken.Inc()
	}
}

// Recovered counts an event of a run that ended early and was handed to a new run.
func (m *Metrics) Recovered() {
	if m != nil {
		m.recovered.Inc()
	}
}

// DeadLetter counts a dead letter that was stored.
func (m *Metrics) DeadLetter(reason string) {
	if m != nil {
		m.letters.WithLabelValues(reason).Inc()
	}
}

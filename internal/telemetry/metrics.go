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

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Metrics holds the metrics of a process. The methods that record a value do nothing on a nil *Metrics.
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
	expired   *prometheus.CounterVec
	notRun    *prometheus.CounterVec
	refused   *prometheus.CounterVec
	unwritten *prometheus.CounterVec
	gateway   *prometheus.HistogramVec
	shares    *prometheus.CounterVec
	sockets   prometheus.Gauge
	frames    *prometheus.CounterVec
	programs  *prometheus.CounterVec
	readers   readers
	streams   streams
	steps     steps
	build     *prometheus.GaugeVec
	workers   workers
}

// NewMetrics returns new metrics with a registry of their own, so that two processes in one test do not share values.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		steps:    newSteps(),
		build:    newBuild(),
		events: counter("hookturn_events_total",
			"Events read from JetStream, by result: accepted, duplicate, dead_letter or retry.", "tenant", "bot", "result"),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hookturn_event_lag_seconds",
			Help:    "Time from an event's arrival in JetStream to its acceptance by a workflow.",
			Buckets: waits,
		}, []string{"tenant", "bot"}),
		attempts: counter("hookturn_attempts_total",
			"HTTP requests to endpoints of steps, by status class or error code.", "tenant", "bot", "step", "result"),
		programs: counter("hookturn_jq_runs_total",
			"Runs of jq programs, by result: ok, failed, timeout, memory, busy or denied.", "tenant", "result"),
		attempt: histogram("hookturn_attempt_duration_seconds", "Duration of one HTTP request to an endpoint.", "tenant",
			"bot", "step"),
		replies: counter("hookturn_replies_total", "Replies stored in JetStream, by type.", "tenant", "bot", "type"),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hookturn_publish_duration_seconds", Help: "Duration of publishing one reply, retries included.", Buckets: waits,
		}),
		reloads: counter("hookturn_bot_file_loads_total", "Loads of the bot files, by result: good or bad.", "result"),
		badFiles: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_bot_files_bad", Help: "Invalid bot files. Their bots run with the last valid version, or not at all.",
		}),
		lastLoad: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_bot_files_last_load_timestamp_seconds", Help: "Unix time of the latest load without an invalid file.",
		}),
		retries: counter("hookturn_event_retries_total",
			"Failed deliveries of events to Temporal that are retried, by kind of failure.", "tenant", "kind"),
		taken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hookturn_events_taken_over_total", Help: "Events taken over from another starter that did not acknowledge them.",
		}),
		unwritten: counter("hookturn_nats_write_failures_total",
			"Messages that JetStream did not store, by reason: no_space, stream_full, no_stream, timeout, connection, "+
				"denied or refused.", "reason"),
		refused: counter("hookturn_requests_refused_total",
			"Requests that were not made because of their endpoint's limits, by error code.", "tenant", "bot", "step", "reason"),
		gateway: histogram("hookturn_gateway_duration_seconds", "Duration of one request to the gateway.", "route", "status"),
		shares: counter("hookturn_gateway_share_exceeded_total",
			"What a gateway rejected because the tenant has its share in use: requests, events, notices, subscriptions, "+
				"connections or socket_memory.",
			"tenant", "share"),
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hookturn_sockets", Help: "WebSocket connections that are open on this gateway.",
		}),
		frames: counter("hookturn_frames_total",
			"Calls of WebSocket clients, by name and result: ok or the error code.", "name", "result"),
		recovered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hookturn_events_recovered_total",
			Help: "Events delivered to a new run, or answered by the starter, because their run ended without a reply.",
		}),
		expired: counter("hookturn_retention_deleted_total",
			"What was deleted because its bot keeps it for less time than its stream: replies, dead_letters or files.",
			"tenant", "bot", "place"),
		notRun: counter("hookturn_scripts_not_run_total",
			"Scripts of accepted asynchronous calls that did not run, or whose outcome is not known, by error code.",
			"tenant", "bot", "kind"),
		letters: counter("hookturn_dead_letters_total", "Dead letters stored, by error code.", "reason"),
	}
	for _, kind := range fault.Kinds() {
		m.letters.WithLabelValues(string(kind)) // from 0 on: an alert sees the first dead letter as an increase
	}
	m.meter = sync.OnceValues(m.newMeter)
	m.registry.MustRegister(m.retries, &m.readers, &m.streams, &m.workers, m.steps.duration, m.steps.answers, m.build)
	m.registry.MustRegister(m.events, m.lag, m.attempts, m.attempt, m.replies, m.publish, m.reloads, m.badFiles,
		m.lastLoad, m.taken,
		m.letters, m.recovered, m.expired, m.notRun, m.refused, m.unwritten,
		m.gateway, m.shares, m.sockets, m.frames, m.programs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// buckets are in seconds, from a fast endpoint on the same machine to the longest attempt and the longest wait of /exec.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Registry returns the registry of all metrics.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Meter returns an OpenTelemetry meter for libraries, such as the Temporal SDK. Its metrics are in the same registry.
func (m *Metrics) Meter() (metric.Meter, error) { return m.meter() }

func (m *Metrics) newMeter() (metric.Meter, error) {
	exporter, err := otelprom.New(
		otelprom.WithRegisterer(m.registry), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	// The default buckets are made for milliseconds; libraries measure in seconds.
	inSeconds := sdkmetric.NewView(sdkmetric.Instrument{Kind: sdkmetric.InstrumentKindHistogram}, sdkmetric.Stream{
		Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: buckets},
	})
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithView(inSeconds)).Meter("hookturn"), nil
}

// Handler returns a handler that serves the metrics in the Prometheus text format, and in OpenMetrics, with exemplars, to a
// client that asks for it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Event counts one event by its result.
func (m *Metrics) Event(owner schemas.BotID, result string) {
	if m != nil {
		m.events.WithLabelValues(owner.Tenant, owner.Bot, result).Inc()
	}
}

// Accepted records the time from an event's arrival to its acceptance by a workflow.
func (m *Metrics) Accepted(owner schemas.BotID, lag time.Duration) {
	if m != nil {
		m.lag.WithLabelValues(owner.Tenant, owner.Bot).Observe(lag.Seconds())
	}
}

// Attempt records one HTTP request; the result is a status class ("2xx") or an error code, traceID the trace of the event,
// "" for none.
func (m *Metrics) Attempt(owner schemas.BotID, step, result string, took time.Duration, traceID string) {
	if m != nil {
		m.attempts.WithLabelValues(owner.Tenant, owner.Bot, step, result).Inc()
		observe(m.attempt.WithLabelValues(owner.Tenant, owner.Bot, step), took, traceID)
	}
}

// observe records a duration, with the trace as an exemplar.
func observe(o prometheus.Observer, took time.Duration, traceID string) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && traceID != "" {
		with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": traceID})
		return
	}
	o.Observe(took.Seconds())
}

// Refused counts a request that was not made because the limits of its endpoint denied it.
func (m *Metrics) Refused(owner schemas.BotID, step, reason string) {
	if m != nil {
		m.refused.WithLabelValues(owner.Tenant, owner.Bot, step, reason).Inc()
	}
}

// NATSWriteReasons begins the counter of NATSWriteFailed at 0 for each reason, so that an alert sees the first failed write
// as an increase.
func (m *Metrics) NATSWriteReasons(reasons []string) {
	if m == nil {
		return
	}
	for _, reason := range reasons {
		m.unwritten.WithLabelValues(reason)
	}
}

// NATSWriteFailed counts a write that JetStream did not store.
func (m *Metrics) NATSWriteFailed(reason string) {
	if m != nil {
		m.unwritten.WithLabelValues(reason).Inc()
	}
}

// Gateway records one request to the gateway. The route is the pattern, not the path.
func (m *Metrics) Gateway(route string, status int, took time.Duration) {
	if m != nil {
		m.gateway.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
	}
}

// ShareExceeded counts what a gateway rejects of a tenant that has its share of something in use.
func (m *Metrics) ShareExceeded(tenant, share string) {
	if m != nil {
		m.shares.WithLabelValues(tenant, share).Inc()
	}
}

// Sockets adds an opened (1) or closed (-1) WebSocket connection.
func (m *Metrics) Sockets(delta int) {
	if m != nil {
		m.sockets.Add(float64(delta))
	}
}

// Program counts a run of a tenant's jq program by its result.
func (m *Metrics) Program(tenant, result string) {
	if m != nil {
		m.programs.WithLabelValues(tenant, result).Inc()
	}
}

// Frame counts a call of a WebSocket client by its name and result.
func (m *Metrics) Frame(name, result string) {
	if m != nil {
		m.frames.WithLabelValues(name, result).Inc()
	}
}

// Reply records one reply that JetStream stored.
func (m *Metrics) Reply(owner schemas.BotID, replyType string, took time.Duration) {
	if m != nil {
		m.replies.WithLabelValues(owner.Tenant, owner.Bot, replyType).Inc()
		m.publish.Observe(took.Seconds())
	}
}

// BotFiles records a load of the bot files: the number of invalid files, the time of the latest load without an
// invalid file, and the error of this load.
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

// Retried counts a failed delivery of an event to Temporal that is retried.
func (m *Metrics) Retried(tenant, kind string) {
	if m != nil {
		m.retries.WithLabelValues(tenant, kind).Inc()
	}
}

// TakenOver counts an event that was taken over from another starter.
func (m *Metrics) TakenOver() {
	if m != nil {
		m.taken.Inc()
	}
}

// Recovered counts an event whose run ended early and that was delivered to a new run.
func (m *Metrics) Recovered() {
	if m != nil {
		m.recovered.Inc()
	}
}

// ScriptNotRun counts an asynchronous call that was accepted and whose script did not run, or whose outcome is not known.
func (m *Metrics) ScriptNotRun(owner schemas.BotID, kind string) {
	if m != nil {
		m.notRun.WithLabelValues(owner.Tenant, owner.Bot, kind).Inc()
	}
}

// RetentionDeleted counts what was deleted by the retention of a bot.
func (m *Metrics) RetentionDeleted(owner schemas.BotID, place string, count int) {
	if m != nil {
		m.expired.WithLabelValues(owner.Tenant, owner.Bot, place).Add(float64(count))
	}
}

// DeadLetter counts a dead letter that was stored.
func (m *Metrics) DeadLetter(reason string) {
	if m != nil {
		m.letters.WithLabelValues(reason).Inc()
	}
}

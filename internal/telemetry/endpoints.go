package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hookturn/hookturn/schemas"
)

// Endpoint is an endpoint whose state is not closed.
type Endpoint struct {
	schemas.BotID

	URL, State string
}

// WatchEndpoints exports the endpoints that now returns, each with the value 1 and its state as a label, until stop is
// called.
func (m *Metrics) WatchEndpoints(now func() []Endpoint) (stop func(), err error) {
	shown := &endpoints{now}
	return func() { m.registry.Unregister(shown) }, m.registry.Register(shown)
}

var endpointState = prometheus.NewDesc("hookturn_endpoint_state",
	"Endpoints that this worker limits, by state: recovering, paused, open, disabled or held (by an operator).",
	[]string{"tenant", "bot", "url", "state"}, nil)

// endpoints reads the endpoints at each scrape.
type endpoints struct{ now func() []Endpoint }

// Describe implements prometheus.Collector.
func (*endpoints) Describe(all chan<- *prometheus.Desc) { all <- endpointState }

// Collect implements prometheus.Collector.
func (e *endpoints) Collect(all chan<- prometheus.Metric) {
	for _, x := range e.now() {
		all <- prometheus.MustNewConstMetric(endpointState, prometheus.GaugeValue, 1, x.Tenant, x.Bot, x.URL, x.State)
	}
}

// WatchPausedBots exports the bots that now returns, each with the value 1, until stop is called.
func (m *Metrics) WatchPausedBots(now func() []schemas.BotID) (stop func(), err error) {
	shown := &pausedBots{now}
	return func() { m.registry.Unregister(shown) }, m.registry.Register(shown)
}

var botPaused = prometheus.NewDesc("hookturn_bot_paused",
	"Bots that an operator has paused: their events wait in JetStream.", []string{"tenant", "bot"}, nil)

// pausedBots reads the paused bots at each scrape.
type pausedBots struct{ now func() []schemas.BotID }

// Describe implements prometheus.Collector.
func (*pausedBots) Describe(all chan<- *prometheus.Desc) { all <- botPaused }

// Collect implements prometheus.Collector.
func (p *pausedBots) Collect(all chan<- prometheus.Metric) {
	for _, id := range p.now() {
		all <- prometheus.MustNewConstMetric(botPaused, prometheus.GaugeValue, 1, id.Tenant, id.Bot)
	}
}

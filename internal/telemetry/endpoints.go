package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hookturn/hookturn/schemas"
)

// Endpoint is one endpoint that is not asked as usual.
type Endpoint struct {
	schemas.BotID

	URL, State string
}

// WatchEndpoints shows the endpoints that are not asked as usual, each as 1 under its state, until stop is called.
func (m *Metrics) WatchEndpoints(now func() []Endpoint) (stop func(), err error) {
	shown := &endpoints{now}
	return func() { m.registry.Unregister(shown) }, m.registry.Register(shown)
}

var endpointState = prometheus.NewDesc("hookturn_endpoint_state",
	"Endpoints that this worker does not ask as usual: recovering, cooling, open or gone.",
	[]string{"tenant", "bot", "url", "state"}, nil)

// endpoints are read when somebody looks.
type endpoints struct{ now func() []Endpoint }

// Describe names the figure.
func (*endpoints) Describe(all chan<- *prometheus.Desc) { all <- endpointState }

// Collect gives the figure of every endpoint.
func (e *endpoints) Collect(all chan<- prometheus.Metric) {
	for _, x := range e.now() {
		all <- prometheus.MustNewConstMetric(endpointState, prometheus.GaugeValue, 1, x.Tenant, x.Bot, x.URL, x.State)
	}
}

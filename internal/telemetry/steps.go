package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hookturn/hookturn/schemas"
)

// waits are the buckets, in seconds, of durations that include waiting: for a turn, for Temporal, for NATS.
var waits = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600}

// noStep is the label of an event that asks for a step which the bot does not have: the name comes from the engine.
const noStep = "_"

// answers are the results of a step as the user sees it (internal/step).
var answers = []string{"in_time", "late", "failed"}

// steps are the metrics of steps as users see them.
type steps struct {
	duration *prometheus.HistogramVec
	answers  *prometheus.CounterVec
}

func newSteps() steps {
	return steps{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hookturn_step_duration_seconds",
			Help:    "Time from the acceptance of the event that made a step run to the reply stored in JetStream, by outcome.",
			Buckets: waits,
		}, []string{"tenant", "bot", "step", "outcome"}),
		answers: counter("hookturn_step_answers_total",
			"Steps that ended, by what the user sees: in_time (answered within the step's timeout), late, or failed.",
			"tenant", "bot", "step", "result"),
	}
}

// Step records the end of a step: its name ("" = none of the bot's), outcome, how the user sees it ("" = it does not
// count), and the time from its event's acceptance to its reply.
func (m *Metrics) Step(owner schemas.BotID, step, outcome, answered string, took time.Duration) {
	if m == nil {
		return
	}
	if step == "" {
		step = noStep
	}
	m.steps.duration.WithLabelValues(owner.Tenant, owner.Bot, step, outcome).Observe(took.Seconds())
	if answered == "" {
		return
	}
	for _, result := range answers { // from 0 on: an alert sees the first failure after another answer as an increase
		m.steps.answers.WithLabelValues(owner.Tenant, owner.Bot, step, result)
	}
	m.steps.answers.WithLabelValues(owner.Tenant, owner.Bot, step, answered).Inc()
}

package step

import (
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// Timing describes the end of a step for the metrics of the process that publishes it.
type Timing struct {
	Step     string          `json:"step,omitempty"`   // of the plan; "" = the event has no step of the bot
	Accepted time.Time       `json:"accepted"`         // when the event that made the step run was accepted
	Timeout  bot.Duration    `json:"timeout"`          // of the whole step; 0 = it has none
	Outcome  schemas.Outcome `json:"outcome"`          // of the step
	Failed   bool            `json:"failed,omitempty"` // the user or the agent did not get an answer of the endpoint
}

// Results of a step as the user sees it.
const (
	AnsweredInTime = "in_time" // within the step's timeout after the event was accepted
	AnsweredLate   = "late"    // after it
	NotAnswered    = "failed"  // the step failed
)

// Answered returns how the user sees a step that ended after a time, "" when it does not count: a rejected event never was
// a step.
func (t *Timing) Answered(took time.Duration) string {
	switch {
	case t.Outcome == schemas.OutcomeRejected:
		return ""
	case t.Failed:
		return NotAnswered
	case t.Timeout > 0 && took > t.Timeout.D():
		return AnsweredLate
	}
	return AnsweredInTime
}

// timing returns the timing of the data of step.replied; nil for other replies, and where it is not known when the event
// was accepted.
func (to *Address) timing(data any) *Timing {
	r, ok := data.(schemas.StepReplied)
	if !ok || to.Accepted.IsZero() {
		return nil
	}
	t := &Timing{Accepted: to.Accepted, Outcome: r.Outcome, Failed: failed(r)}
	if to.Plan != nil {
		t.Step, t.Timeout = to.Plan.Step, timeoutOf(to.Plan)
	}
	return t
}

func timeoutOf(p *bot.Plan) bot.Duration {
	switch {
	case p.Webhook != nil:
		return p.Webhook.Timeout
	case p.Code != nil:
		return p.Code.Timeout
	}
	return 0
}

// failed reports whether the step ended without an answer: an endpoint that reports a failure has answered, and a handover
// that it asked for is an answer.
func failed(r schemas.StepReplied) bool {
	switch r.Outcome {
	case schemas.OutcomeBotBreak, schemas.OutcomeUndelivered:
		return true
	case schemas.OutcomeFailure, schemas.OutcomeHandover, schemas.OutcomeContinued:
		return r.Error != nil
	}
	return false
}

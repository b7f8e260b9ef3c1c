package limit

import (
	"cmp"
	"slices"
	"time"
)

// State is the state of an endpoint's circuit.
type State string

// The states. Paused, open, disabled and held endpoints get no requests.
const (
	StateClosed     State = "closed"     // normal operation
	StateRecovering State = "recovering" // few requests at a time; each success doubles the number
	StatePaused     State = "paused"     // the endpoint asked for a pause (429 or 503 with Retry-After)
	StateOpen       State = "open"       // repeated failures: no request before the next probe
	StateDisabled   State = "disabled"   // the endpoint answered 410: no request of this bot file, or of an earlier one
	StateHeld       State = "held"       // an operator has paused the endpoint
)

// States returns all states, for metrics.
func States() []State {
	return []State{StateClosed, StateRecovering, StatePaused, StateOpen, StateDisabled, StateHeld}
}

// StateChange is a change of an endpoint's state. Workers publish changes to each other.
type StateChange struct {
	Endpoint Endpoint  `json:"endpoint"`
	State    State     `json:"state"`
	Until    time.Time `json:"until,omitzero"`     // end of the pause: paused and open
	Revision string    `json:"revision,omitempty"` // of the bot file that the endpoint is disabled for, the latest one
	Earlier  []string  `json:"earlier,omitempty"`  // revisions before that for which it is disabled, too
	Why      string    `json:"why,omitempty"`      // the failure that caused it, as text
}

// Shared reports whether other workers apply the change: a pause holds for all workers.
func (c StateChange) Shared() bool {
	return c.State == StatePaused || c.State == StateOpen || c.State == StateDisabled
}

// Apply applies a state change of another worker. A pause lasts an hour at most, even when the other worker's clock is
// wrong, or when the clock of this one is set back meanwhile: its end is kept by the monotonic clock.
func (l *Limiter) Apply(c StateChange) {
	if !c.Shared() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	e := l.find(c.Endpoint, now)
	switch {
	case c.State == StateDisabled:
		e.state = StateDisabled
		e.disable(append(slices.Clone(c.Earlier), c.Revision)...)
	case e.state == StateDisabled || !c.Until.After(now) || !c.Until.After(e.until):
	default:
		e.state, e.until, e.ramp = c.State, now.Add(min(c.Until.Sub(now), pauseMax)), 1
		if c.State == StateOpen {
			e.openings = max(e.openings, 1)
		}
	}
}

// Snapshot returns the state of every endpoint that is not closed, sorted by tenant, bot and URL.
func (l *Limiter) Snapshot() []StateChange {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var all []StateChange
	for _, e := range l.endpoints {
		e.endPause(now)
		if e.hold.inForce(now) {
			all = append(all, StateChange{Endpoint: e.name, State: StateHeld, Until: e.hold.until})
		}
		if e.state != StateClosed {
			all = append(all, e.stateChange(""))
		}
	}
	slices.SortFunc(all, func(a, b StateChange) int {
		return cmp.Or(cmp.Compare(a.Endpoint.Tenant, b.Endpoint.Tenant), cmp.Compare(a.Endpoint.Bot, b.Endpoint.Bot),
			cmp.Compare(a.Endpoint.URL, b.Endpoint.URL))
	})
	return all
}

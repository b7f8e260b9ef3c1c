package limit

import (
	"cmp"
	"slices"
	"time"
)

// State is how an endpoint is treated.
type State string

// The states. Anything but open doors costs requests nothing: they are refused before they are made.
const (
	StateClosed     State = "closed"     // the circuit is closed: requests flow
	StateRecovering State = "recovering" // few requests at a time, twice as many after each that went well
	StateCooling    State = "cooling"    // the endpoint asked for a pause
	StateOpen       State = "open"       // failure upon failure: nobody asks until a probe
	StateGone       State = "gone"       // the endpoint said 410: nobody asks until the bot file changes
)

// States lists them, for metrics.
func States() []State {
	return []State{StateClosed, StateRecovering, StateCooling, StateOpen, StateGone}
}

// Notice says that an endpoint has changed its state. Workers tell each other.
type Notice struct {
	Endpoint Endpoint  `json:"endpoint"`
	State    State     `json:"state"`
	Until    time.Time `json:"until,omitzero"`     // when the endpoint may be asked again: cooling and open
	Revision string    `json:"revision,omitempty"` // of the bot file that the endpoint is gone for
	Why      string    `json:"why,omitempty"`      // the failure that did it, for people
}

// Shared says whether other workers should act on it: one worker's pause is everyone's.
func (n Notice) Shared() bool {
	return n.State == StateCooling || n.State == StateOpen || n.State == StateGone
}

// Hear takes what another worker has learnt of an endpoint. A pause is believed for an hour at most, whatever its clock
// says.
func (l *Limiter) Hear(n Notice) {
	if !n.Shared() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	e := l.find(n.Endpoint, now)
	switch {
	case n.State == StateGone:
		e.state, e.revision = StateGone, n.Revision
	case e.state == StateGone || !n.Until.After(now) || !n.Until.After(e.until):
	default:
		e.state, e.until, e.ramp = n.State, earliest(n.Until, now.Add(coolMax)), 1
		if n.State == StateOpen {
			e.openings = max(e.openings, 1)
		}
	}
}

// Snapshot is how every endpoint that is not simply closed is treated now, in a fixed order.
func (l *Limiter) Snapshot() []Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var all []Notice
	for _, e := range l.endpoints {
		e.pass(now)
		if e.state != StateClosed {
			all = append(all, e.notice(""))
		}
	}
	slices.SortFunc(all, func(a, b Notice) int {
		return cmp.Or(cmp.Compare(a.Endpoint.Tenant, b.Endpoint.Tenant), cmp.Compare(a.Endpoint.Bot, b.Endpoint.Bot),
			cmp.Compare(a.Endpoint.URL, b.Endpoint.URL))
	})
	return all
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

package limit

import (
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// HeldRecheck is the retry time of a request while an operator's pause has no end: steps whose deadline is earlier fail at
// once, the others ask again. Those of background queues ask as often during every pause: an operator may have ended it.
const HeldRecheck = time.Minute

// hold is a pause by an operator. It is independent of the endpoint's own state, which goes on below it.
type hold struct {
	active bool
	until  time.Time // zero = until it is resumed
}

func (h hold) inForce(now time.Time) bool {
	return h.active && (h.until.IsZero() || now.Before(h.until))
}

// Hold pauses an endpoint until a moment, or until Resume for the zero time.
func (l *Limiter) Hold(name Endpoint, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.find(name, time.Now()).hold = hold{active: true, until: until}
}

// Resume ends whatever keeps requests from an endpoint: a pause of an operator or of the endpoint, an open circuit, a 410.
func (l *Limiter) Resume(name Endpoint) {
	l.mu.Lock()
	e := l.find(name, time.Now())
	e.hold = hold{}
	e.failures, e.openings, e.rejected, e.gone = 0, 0, 0, nil
	if e.state != StateClosed {
		e.change(StateClosed, "resumed by an operator")
	}
	changes := e.takeChanges()
	l.mu.Unlock()
	l.notify(changes)
}

// held returns the fault that denies a request while an operator has paused the endpoint.
func (e *endpoint) held(now time.Time, r Request) *fault.Fault {
	if e.hold.until.IsZero() {
		return e.pausedUntil(now.Add(HeldRecheck), fault.RateLimited, now, r, "an operator has paused the endpoint")
	}
	return e.pausedUntil(e.hold.until, fault.RateLimited, now, r, "an operator has paused the endpoint until %s",
		at(e.hold.until))
}

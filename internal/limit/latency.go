package limit

import (
	"container/list"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// SlowAfter is the answer time from which an endpoint counts as slow. It is well below the time after which the server
	// must be told that a workflow task still runs (four fifths of its timeout of 2 s).
	SlowAfter = 500 * time.Millisecond
	// unknownMax is how many first requests an endpoint gets at a time whose answer time is not known.
	unknownMax = 16
	// smoothing is the share of the newest answer in the latency.
	smoothing = 5
)

// Slow reports whether a request to the endpoint is likely to take longer than SlowAfter: the latest answers did, a request
// in flight does already, or no answer is known and many requests are in flight.
func (l *Limiter) Slow(name Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints[name]
	if !ok {
		return false
	}
	if oldest := e.pending.Front(); oldest != nil {
		if made, ok := oldest.Value.(time.Time); ok && time.Since(made) > SlowAfter {
			return true
		}
	}
	return e.latency > SlowAfter || e.latency == 0 && e.inFlight >= unknownMax
}

// measure takes a request that has ended into account. One that got no answer tells nothing, unless it waited for one.
func (e *endpoint) measure(pending *list.Element, f *fault.Fault) {
	made, ok := e.pending.Remove(pending).(time.Time)
	if !ok || f != nil && !isAnswer(f) && f.Status == 0 && f.Kind != fault.Timeout {
		return
	}
	took := max(time.Since(made), time.Microsecond)
	if e.latency == 0 {
		e.latency = took
	}
	e.latency += (took - e.latency) / smoothing
}

package limit

import (
	"container/list"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// SlowAfter is the answer time from which an endpoint counts as slow. It is well below the time after which the server
	// needs a heartbeat of the workflow task (four fifths of the task's timeout of 2 s).
	SlowAfter = 500 * time.Millisecond
	// unknownMax is the number of requests in flight from which an endpoint without a known answer time counts as slow.
	unknownMax = 16
	// smoothing is the divisor of the newest answer's share in the latency.
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

// measure adds the duration of a request that ended to the latency. It ignores requests without an answer, except timeouts.
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

package limit

import (
	"container/list"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// SlowAfter is the answer time from which an endpoint counts as slow. It is well below the time after which the worker
	// must send a heartbeat for a running workflow task (four fifths of its timeout of 2 s).
	SlowAfter = 500 * time.Millisecond
	// hangsAfter is how long a request may be in flight before its endpoint counts as slow without an answer.
	hangsAfter = 3 * SlowAfter
	// unknownMax is how many first requests an endpoint gets at a time whose answer time is not known.
	unknownMax = 16
	// latest is how many answer times are kept. The shortest one counts: on a busy machine fast answers are read late, but
	// not each of them, and a slow endpoint has no fast ones.
	latest = 4
)

// Slow reports whether a request to the endpoint is likely to take longer than SlowAfter: each of the latest answers did, a
// request in flight hangs, or no answer is known and many requests are in flight.
func (l *Limiter) Slow(name Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints[name]
	if !ok {
		return false
	}
	if oldest := e.pending.Front(); oldest != nil {
		if made, ok := oldest.Value.(time.Time); ok && time.Since(made) > hangsAfter {
			return true
		}
	}
	if len(e.took) == 0 {
		return e.inFlight >= unknownMax
	}
	return slices.Min(e.took) > SlowAfter
}

// measure records the answer time of a completed request. A request without an answer counts only when it timed out.
func (e *endpoint) measure(pending *list.Element, f *fault.Fault) {
	made, ok := e.pending.Remove(pending).(time.Time)
	if !ok || f != nil && !isAnswer(f) && f.Status == 0 && f.Kind != fault.Timeout {
		return
	}
	if len(e.took) >= latest {
		e.took = slices.Delete(e.took, 0, 1)
	}
	e.took = append(e.took, time.Since(made))
}

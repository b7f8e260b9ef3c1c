package limit

import "time"

const (
	probeGap    = time.Second           // how long a probe may take before those who wait for its end ask again
	slotGap     = 20 * time.Millisecond // between two who come back to an endpoint without a rate of its own
	slotHorizon = time.Minute           // those beyond it share the slots of those before
)

// slots hands out moments to come back, one after another, so that a crowd that was refused returns as a queue. A slot is a
// proposal: whoever comes then may be refused again.
type slots struct{ last time.Time }

func (s *slots) take(from time.Time, gap time.Duration) time.Time {
	next := s.last.Add(gap)
	if next.Before(from) || next.After(from.Add(slotHorizon)) {
		next = from.Add(gap)
	}
	s.last = next
	return next
}

package limit

import "time"

const (
	probeGap    = time.Second           // delay of requests that arrive while a probe is in flight
	slotGap     = 20 * time.Millisecond // between two retries at an endpoint without a rate limit
	slotHorizon = time.Minute           // later retries share the slots before this time
)

// retrySlots assigns retry times one after another, so that denied requests return in a queue and not all at once. A slot is
// not reserved: a request may be denied again at its time.
type retrySlots struct{ last time.Time }

func (s *retrySlots) next(from time.Time, gap time.Duration) time.Time {
	next := s.last.Add(gap)
	if next.Before(from) || next.After(from.Add(slotHorizon)) {
		next = from.Add(gap)
	}
	s.last = next
	return next
}

package limit

import (
	"cmp"
	"container/list"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

// endpoint is the state of one endpoint in this worker. The limiter's lock guards it.
//
// Every kind of pause ends in the same way: one request goes first (ramp 1: the circuit breaker's half-open
// probe), and each success doubles how many may be in flight, until the limit is reached and the state is closed.
type endpoint struct {
	name     Endpoint
	limits   bot.Limits
	inFlight int

	state    State
	until    time.Time // end of the pause
	hold     hold      // by an operator
	gone     []string  // revisions of the bot file that the endpoint answered 410, the latest last
	ramp     int       // requests that may be in flight while the endpoint recovers; 0 = not limited
	failures int       // in a row
	openings int       // of the circuit, in a row
	rejected int       // answers 429 in a row

	rate    *rate.Limiter // nil = no limit
	slots   retrySlots
	changes []StateChange

	pending list.List       // when the requests in flight were made, oldest first
	took    []time.Duration // of the latest answers, oldest first
}

// set applies the current limits of the bot file.
func (e *endpoint) set(l bot.Limits) {
	if e.limits == l {
		return
	}
	e.limits = l
	switch burst := cmp.Or(l.Burst, max(1, int(l.PerSecond))); {
	case l.PerSecond == 0:
		e.rate = nil
	case e.rate == nil:
		e.rate = rate.NewLimiter(rate.Limit(l.PerSecond), burst)
	default:
		e.rate.SetLimit(rate.Limit(l.PerSecond))
		e.rate.SetBurst(burst)
	}
}

func maxPause(l bot.Limits) time.Duration { return cmp.Or(l.MaxPause.D(), DefaultMaxPause) }

func (e *endpoint) concurrency() int { return cmp.Or(e.limits.Concurrency, DefaultConcurrency) }

// check returns nil when a request may be made now, or the fault that denies it.
func (e *endpoint) check(now time.Time, r Request, ofTenant int) *fault.Fault {
	gone := slices.Contains(e.gone, r.Revision)
	if e.state == StateDisabled && !gone {
		e.change(StateClosed, "the bot file changed")
	}
	e.endPause(now)
	switch {
	case e.hold.inForce(now):
		return e.held(now, r)
	case gone:
		return fault.New(fault.Gone, "the endpoint answered 410: no requests until the bot file changes")
	case e.state == StatePaused:
		return e.pausedUntil(e.until, fault.RateLimited, now, r, "the endpoint asked for a pause until %s", at(e.until))
	case e.state == StateOpen:
		return e.pausedUntil(e.until, fault.CircuitOpen, now, r, "the endpoint failed repeatedly: no request until %s",
			at(e.until))
	case e.ramp == 1 && e.inFlight >= 1 && e.openings > 0:
		return e.later(fault.CircuitOpen, now, now.Add(probeGap),
			"a probe of the endpoint is in flight: no other request until it ends")
	case e.ramp > 0 && e.inFlight >= e.ramp:
		return e.later(fault.RateLimited, now, now.Add(slotGap), "the endpoint is recovering: at most %d requests at a time",
			e.ramp)
	case e.inFlight >= e.concurrency():
		return e.full(now, "%d requests to the endpoint are in flight, the most that its limits allow", e.inFlight)
	case ofTenant >= DefaultTenantConcurrency:
		return e.full(now, "%d requests of the tenant are in flight, the most that a worker allows", ofTenant)
	case e.rate != nil && e.rate.TokensAt(now) < 1:
		return e.later(fault.RateLimited, now, now, "the endpoint gets at most %g requests a second", e.limits.PerSecond)
	}
	return nil
}

// take counts a request that is made now.
func (e *endpoint) take(now time.Time) {
	e.inFlight++
	if e.rate != nil {
		e.rate.AllowN(now, 1)
	}
}

// pausedUntil denies a request until the end of a pause.
func (e *endpoint) pausedUntil(
	until time.Time, kind fault.Kind, now time.Time, r Request, format string, args ...any,
) *fault.Fault {
	if !r.Rechecks {
		return e.later(kind, now, until, format, args...)
	}
	f := fault.New(kind, format, args...)
	f.RetryAfter = until.Sub(now)
	return f
}

// later denies a request and sets the time of its next try: not before from, and not at the same time as another request.
func (e *endpoint) later(kind fault.Kind, now, from time.Time, format string, args ...any) *fault.Fault {
	return e.deny(fault.New(kind, format, args...), now, from, e.gap())
}

// full denies a request because as many as may be are in flight. The next tries come no faster than the endpoint answers:
// each costs the Temporal server several transactions, and one that comes too early is denied again.
func (e *endpoint) full(now time.Time, format string, args ...any) *fault.Fault {
	gap := e.gap()
	if len(e.took) > 0 {
		gap = max(gap, slices.Min(e.took)/time.Duration(max(e.inFlight, 1)))
	}
	return e.deny(fault.New(fault.RateLimited, format, args...), now, now.Add(slotGap), gap)
}

// deny sets the time of the next try of a request: not before from, and a gap behind that of the request denied before.
func (e *endpoint) deny(f *fault.Fault, now, from time.Time, gap time.Duration) *fault.Fault {
	f.RetryAfter = e.slots.next(from, gap).Sub(now)
	return f
}

// gap returns the time between two retries.
func (e *endpoint) gap() time.Duration {
	if e.rate == nil {
		return slotGap
	}
	return max(slotGap, time.Duration(float64(time.Second)/e.limits.PerSecond))
}

// endPause starts the recovery when a pause is over.
func (e *endpoint) endPause(now time.Time) {
	if (e.state == StatePaused || e.state == StateOpen) && !now.Before(e.until) {
		e.ramp = max(e.ramp, 1)
		e.change(StateRecovering, "the pause is over")
	}
}

// record updates the state with the outcome of a request.
func (e *endpoint) record(now time.Time, r Request, f *fault.Fault) {
	switch {
	case f == nil:
		e.succeeded()
	case f.Kind == fault.Gone || f.Status == http.StatusGone:
		e.disable(r.Revision)
		e.change(StateDisabled, f.Error())
	case f.Status == http.StatusTooManyRequests:
		e.rejected++
		pause := min(pauseFirst<<min(e.rejected-1, 10), pauseLongest)
		e.pause(StatePaused, now, min(cmp.Or(f.RetryAfter, pause), maxPause(e.limits)), f)
	case f.Status == http.StatusServiceUnavailable && f.RetryAfter > 0:
		e.pause(StatePaused, now, min(f.RetryAfter, maxPause(e.limits)), f)
	case isOutage(f):
		e.failed(now, f)
	case isAnswer(f):
		e.succeeded()
	}
}

// Pauses reports whether an answer pauses its endpoint for all of the time that it asks for, so that requests are denied
// until then. The limits of the bot file may allow a shorter pause only.
func Pauses(f *fault.Fault, l bot.Limits) bool {
	asks := f.Status == http.StatusTooManyRequests || f.Status == http.StatusServiceUnavailable
	return asks && f.RetryAfter > 0 && f.RetryAfter <= maxPause(l)
}

func (e *endpoint) succeeded() {
	e.failures, e.openings, e.rejected = 0, 0, 0
	if e.state != StateDisabled { // a request of a new bot file, which shows that the endpoint is back for the others as well
		e.gone = nil
	}
	if e.ramp == 0 || e.state != StateRecovering {
		return
	}
	if e.ramp *= 2; e.ramp >= e.concurrency() {
		e.ramp = 0
		e.change(StateClosed, "requests succeed again")
	}
}

// failed counts a failure. A failed probe opens the circuit again, for longer.
func (e *endpoint) failed(now time.Time, f *fault.Fault) {
	e.failures++
	probe := e.state == StateRecovering && e.ramp == 1
	if !probe && e.failures < cmp.Or(e.limits.TripAfter, DefaultTripAfter) {
		return
	}
	openFor := cmp.Or(e.limits.OpenFor.D(), DefaultOpenFor)
	pause := min(openFor<<min(e.openings, 10), openGrowth*openFor)
	if e.state != StateOpen {
		e.openings++
	}
	e.pause(StateOpen, now, pause, f)
}

// pause denies all requests for a time. Requests that were in flight when it began cannot make it shorter.
func (e *endpoint) pause(s State, now time.Time, pause time.Duration, f *fault.Fault) {
	until := now.Add(pause)
	e.ramp = 1
	if e.state == StateDisabled || !until.After(e.until) || e.state == StateOpen && s == StateOpen {
		return
	}
	e.until = until
	e.change(s, f.Error())
}

func (e *endpoint) change(s State, why string) {
	e.state = s
	if s != StatePaused && s != StateOpen {
		e.until = time.Time{}
	}
	if s == StateClosed {
		e.ramp = 0
	}
	e.changes = append(e.changes, e.stateChange(why))
}

func (e *endpoint) stateChange(why string) StateChange {
	c := StateChange{Endpoint: e.name, State: e.state, Until: e.until, Why: why}
	if last := len(e.gone) - 1; e.state == StateDisabled && last >= 0 {
		c.Revision, c.Earlier = e.gone[last], slices.Clone(e.gone[:last])
	}
	return c
}

// disable records revisions of the bot file that the endpoint answered 410. While steps of several revisions wait, none of
// them enables the endpoint for another.
func (e *endpoint) disable(revisions ...string) {
	for _, r := range revisions {
		e.gone = append(slices.DeleteFunc(e.gone, func(known string) bool { return known == r }), r)
	}
	e.gone = slices.Delete(e.gone, 0, max(len(e.gone)-goneMax, 0))
}

func (e *endpoint) takeChanges() []StateChange {
	taken := e.changes
	e.changes = nil
	return taken
}

// idle reports whether the endpoint can be removed from memory without an effect.
func (e *endpoint) idle(now time.Time) bool {
	return e.inFlight == 0 && e.state == StateClosed && len(e.gone) == 0 && !e.hold.inForce(now) && e.failures == 0 &&
		(e.rate == nil || e.rate.TokensAt(now) >= float64(e.rate.Burst()))
}

// isOutage reports whether the failure means that the endpoint is down, and not that it rejected the request.
func isOutage(f *fault.Fault) bool {
	switch f.Kind {
	case fault.DNS, fault.Connect, fault.TLS, fault.Timeout, fault.Reset:
		return true
	}
	return f.Status >= http.StatusInternalServerError
}

// isAnswer reports whether the failure proves that the endpoint is up. Other failures prove nothing about it: the
// request was cancelled or never made.
func isAnswer(f *fault.Fault) bool {
	switch f.Kind {
	case fault.Status, fault.Redirect, fault.TooLarge, fault.Encoding, fault.BadResponse:
		return true
	}
	return false
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

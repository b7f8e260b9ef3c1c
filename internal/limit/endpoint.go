package limit

import (
	"cmp"
	"container/list"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

// endpoint is what a worker knows of one endpoint. The limiter's lock guards it.
//
// A pause, whatever its reason, ends in the same way: one request goes first (ramp 1: the circuit breaker's half-open
// probe), and each that goes well doubles how many may be in flight, until the limit is reached and the state is closed.
type endpoint struct {
	name     Endpoint
	limits   bot.Limits
	inFlight int

	state    State
	until    time.Time // end of the pause
	revision string    // of the bot file that the endpoint is gone for
	ramp     int       // requests that may be in flight while the endpoint recovers; 0 = it has
	failures int       // in a row
	openings int       // of the circuit, in a row
	coolings int       // 429s without a Retry-After, in a row

	rate    *rate.Limiter // nil = no limit
	slots   slots
	notices []Notice

	pending list.List     // when the requests in flight were made, oldest first
	latency time.Duration // of the latest answers, smoothed; 0 = there was none
}

// set takes the limits that the bot file has now.
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

func (e *endpoint) concurrency() int { return cmp.Or(e.limits.Concurrency, DefaultConcurrency) }

// enter says why a request must not be made now; nil when it may.
func (e *endpoint) enter(now time.Time, v Visit, ofTenant int) *fault.Fault {
	if e.state == StateGone && v.Revision != e.revision {
		e.change(StateClosed, "the bot file changed")
	}
	e.pass(now)
	switch {
	case e.state == StateGone:
		return fault.New(fault.Gone, "the endpoint said 410: it is not asked again until the bot file changes")
	case e.state == StateCooling:
		return e.later(fault.RateLimited, now, e.until, "the endpoint asked for a pause until %s", at(e.until))
	case e.state == StateOpen:
		return e.later(fault.CircuitOpen, now, e.until, "the endpoint failed again and again: no request until %s", at(e.until))
	case e.ramp == 1 && e.inFlight >= 1 && e.openings > 0:
		return e.later(fault.CircuitOpen, now, now.Add(probeGap), "the endpoint is probed: nothing else until that is answered")
	case e.ramp > 0 && e.inFlight >= e.ramp:
		return e.later(fault.RateLimited, now, now.Add(slotGap), "the endpoint recovers: %d at a time", e.ramp)
	case e.inFlight >= e.concurrency():
		return e.later(fault.RateLimited, now, now.Add(slotGap), "%d requests are in flight at the endpoint", e.inFlight)
	case ofTenant >= DefaultTenantConcurrency:
		return e.later(fault.RateLimited, now, now.Add(slotGap), "%d requests of the tenant are in flight", ofTenant)
	case e.rate != nil && !e.rate.AllowN(now, 1):
		return e.later(fault.RateLimited, now, now, "the endpoint is asked at most %g times a second", e.limits.PerSecond)
	}
	return nil
}

// later refuses a request and says when to come back: not before from, and not together with the others.
func (e *endpoint) later(kind fault.Kind, now, from time.Time, format string, args ...any) *fault.Fault {
	f := fault.New(kind, format, args...)
	gap := slotGap
	if e.rate != nil {
		gap = max(gap, time.Duration(float64(time.Second)/e.limits.PerSecond))
	}
	f.RetryAfter = e.slots.take(from, gap).Sub(now)
	return f
}

// pass lets time pass: a pause that is over becomes a recovery.
func (e *endpoint) pass(now time.Time) {
	if (e.state == StateCooling || e.state == StateOpen) && !now.Before(e.until) {
		e.ramp = max(e.ramp, 1)
		e.change(StateRecovering, "the pause is over")
	}
}

// leave learns from a request.
func (e *endpoint) leave(now time.Time, v Visit, f *fault.Fault) {
	switch {
	case f == nil:
		e.wentWell()
	case f.Kind == fault.Gone || f.Status == http.StatusGone:
		e.revision = v.Revision
		e.change(StateGone, f.Error())
	case f.Status == http.StatusTooManyRequests:
		e.coolings++
		pause := min(coolFirst<<min(e.coolings-1, 10), coolLongest)
		e.pause(StateCooling, now, min(cmp.Or(f.RetryAfter, pause), coolMax), f)
	case f.Status == http.StatusServiceUnavailable && f.RetryAfter > 0:
		e.pause(StateCooling, now, min(f.RetryAfter, coolMax), f)
	case isOutage(f):
		e.failed(now, f)
	case isAnswer(f):
		e.wentWell()
	}
}

func (e *endpoint) wentWell() {
	e.failures, e.openings, e.coolings = 0, 0, 0
	if e.ramp == 0 || e.state != StateRecovering {
		return
	}
	if e.ramp *= 2; e.ramp >= e.concurrency() {
		e.ramp = 0
		e.change(StateClosed, "requests go well again")
	}
}

// failed counts a failure; a failed probe is enough to wait again, and longer.
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

// pause keeps everybody out. Requests that were in flight when it began cannot make it shorter.
func (e *endpoint) pause(s State, now time.Time, pause time.Duration, f *fault.Fault) {
	until := now.Add(pause)
	e.ramp = 1
	if e.state == StateGone || !until.After(e.until) || e.state == StateOpen && s == StateOpen {
		return
	}
	e.until = until
	e.change(s, f.Error())
}

func (e *endpoint) change(s State, why string) {
	e.state = s
	if s != StateCooling && s != StateOpen {
		e.until = time.Time{}
	}
	if s == StateClosed {
		e.revision, e.ramp = "", 0
	}
	e.notices = append(e.notices, e.notice(why))
}

func (e *endpoint) notice(why string) Notice {
	return Notice{Endpoint: e.name, State: e.state, Until: e.until, Revision: e.revision, Why: why}
}

func (e *endpoint) takeNotices() []Notice {
	taken := e.notices
	e.notices = nil
	return taken
}

// atRest says that forgetting the endpoint changes nothing.
func (e *endpoint) atRest(now time.Time) bool {
	return e.inFlight == 0 && e.state == StateClosed && e.failures == 0 &&
		(e.rate == nil || e.rate.TokensAt(now) >= float64(e.rate.Burst()))
}

// isOutage says that an endpoint is down, rather than that it does not like what it was sent.
func isOutage(f *fault.Fault) bool {
	switch f.Kind {
	case fault.DNS, fault.Connect, fault.TLS, fault.Timeout, fault.Reset:
		return true
	}
	return f.Status >= http.StatusInternalServerError
}

// isAnswer says that an endpoint is up, though what it said was no use. Everything else says nothing of it: the request was
// cancelled, or it was never made.
func isAnswer(f *fault.Fault) bool {
	switch f.Kind {
	case fault.Status, fault.Redirect, fault.TooLarge, fault.Encoding, fault.BadResponse:
		return true
	}
	return false
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

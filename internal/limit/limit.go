// Package limit bounds the requests to an endpoint: how many run at a time and each second. It pauses an endpoint after a
// 429 or repeated failures, and disables it after a 410.
//
// A denied request fails at once with the time of its next try; callers never wait in this package. Each denied request
// gets a different time, so that the requests return one after another. The state of an endpoint belongs to one bot of one
// tenant; no other bot is affected.
package limit

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Defaults of one worker, for values that the bot file omits.
const (
	DefaultConcurrency       = 128             // requests in flight at one endpoint
	DefaultTenantConcurrency = 512             // requests in flight of one tenant
	DefaultTripAfter         = 10              // failures in a row that open a circuit
	DefaultOpenFor           = 2 * time.Second // from the opening to the first probe; doubles while probes fail

	openGrowth      = 8                // the longest wait for a probe, as a multiple of the open time
	DefaultMaxPause = 10 * time.Minute // the longest pause that an endpoint can ask for

	pauseMax     = time.Hour        // the longest pause that another worker can set
	pauseFirst   = time.Second      // pause after a 429 without a Retry-After; doubles with each in a row
	pauseLongest = 30 * time.Second // the longest pause after a 429 without a Retry-After

	goneMax      = 16     // revisions of a bot file that an endpoint is disabled for; an older one gets one request more
	endpointsMax = 10_000 // endpoints in memory; idle ones are removed first
)

// Endpoint identifies an endpoint: its address without the query, as one bot of one tenant uses it.
type Endpoint struct {
	schemas.BotID

	URL string `json:"url"`
}

// Request describes a request before it is made.
type Request struct {
	Endpoint Endpoint
	Revision string // of the bot file; a new revision enables a disabled endpoint
	Limits   bot.Limits
	// Rechecks reports whether the caller asks again during a pause, as background queues do: such a request takes no retry
	// slot behind the end of the pause, which would be one slot for each time that it asks.
	Rechecks bool
}

// Result is the outcome of a request. A nil Fault is a success.
type Result struct{ Fault *fault.Fault }

// Limiter limits the requests of one worker. The zero value is ready for use.
type Limiter struct {
	// OnChange receives every state change of an endpoint. It must not block. It may be nil.
	OnChange func(StateChange)

	mu        sync.Mutex
	endpoints map[Endpoint]*endpoint
	tenants   map[string]int // requests in flight
}

// Permit allows one request.
type Permit struct {
	limiter  *Limiter
	endpoint *endpoint
	request  Request
	pending  *list.Element
}

// Acquire returns a permit for one request, or a fault: rate_limited or circuit_open with the time of the next try, or gone
// when the endpoint is disabled. The caller must release the permit.
func (l *Limiter) Acquire(r Request) (permit *Permit, denied *fault.Fault) {
	denied = l.decide(r, func(e *endpoint, now time.Time) {
		e.take(now)
		l.tenants[r.Endpoint.Tenant]++
		permit = &Permit{limiter: l, endpoint: e, request: r, pending: e.pending.PushBack(now)}
	})
	return permit, denied
}

// Check returns the fault that Acquire would return now, nil when it would return a permit. It takes none: a request that is
// expensive to prepare is checked before, and Acquire decides.
func (l *Limiter) Check(r Request) *fault.Fault { return l.decide(r, func(*endpoint, time.Time) {}) }

// decide calls allowed with the lock held when a request may be made now; otherwise it returns the fault that denies it.
func (l *Limiter) decide(r Request, allowed func(*endpoint, time.Time)) *fault.Fault {
	l.mu.Lock()
	now := time.Now()
	e := l.find(r.Endpoint, now)
	e.set(r.Limits)
	denied := e.check(now, r, l.tenants[r.Endpoint.Tenant])
	if denied == nil {
		allowed(e, now)
	}
	changes := e.takeChanges()
	l.mu.Unlock()
	l.notify(changes)
	return denied
}

// Release records the outcome of the request. Call it exactly once for each permit, usually with defer.
func (p *Permit) Release(r Result) {
	l := p.limiter
	l.mu.Lock()
	p.endpoint.inFlight--
	p.endpoint.measure(p.pending, r.Fault)
	if l.tenants[p.request.Endpoint.Tenant]--; l.tenants[p.request.Endpoint.Tenant] == 0 {
		delete(l.tenants, p.request.Endpoint.Tenant)
	}
	p.endpoint.record(time.Now(), p.request, r.Fault)
	changes := p.endpoint.takeChanges()
	l.mu.Unlock()
	l.notify(changes)
}

// find returns the state of an endpoint, and adds it when it is new. The caller holds the lock.
func (l *Limiter) find(name Endpoint, now time.Time) *endpoint {
	if l.endpoints == nil {
		l.endpoints, l.tenants = map[Endpoint]*endpoint{}, map[string]int{}
	}
	if e, ok := l.endpoints[name]; ok {
		return e
	}
	if len(l.endpoints) >= endpointsMax {
		l.evict(now)
	}
	e := &endpoint{name: name, state: StateClosed}
	l.endpoints[name] = e
	return e
}

// evict removes every idle endpoint. When there is none, it removes one endpoint without a request in flight, of the tenant
// with the most of them: a tenant cannot remove the states of others.
func (l *Limiter) evict(now time.Time) {
	unused, held := map[string]*endpoint{}, map[string]int{}
	for name, e := range l.endpoints {
		switch {
		case e.inFlight > 0 || e.hold.inForce(now):
		case e.idle(now):
			delete(l.endpoints, name)
		default:
			unused[name.Tenant] = e
			held[name.Tenant]++
		}
	}
	if len(l.endpoints) < endpointsMax || len(held) == 0 {
		return
	}
	largest := slices.MaxFunc(slices.Collect(maps.Keys(held)), func(a, b string) int { return held[a] - held[b] })
	delete(l.endpoints, unused[largest].name)
}

func (l *Limiter) notify(changes []StateChange) {
	if l.OnChange == nil {
		return
	}
	for _, c := range changes {
		l.OnChange(c)
	}
}

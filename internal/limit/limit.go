// Package limit says how much an endpoint may be asked, and believes what it answers: how many requests at a time and a
// second, for how long not at all after a 429 or after failure upon failure, and never again after a 410.
//
// A refusal costs no request and comes at once: nobody waits in here. It says when to come back, and everyone is told
// another moment, so that those who were refused together do not come back together. What belongs to one tenant's bot is
// unknown to every other.
package limit

import (
	"container/list"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Defaults of one worker, for what a bot file does not say.
const (
	DefaultConcurrency       = 128             // requests in flight at one endpoint
	DefaultTenantConcurrency = 512             // requests in flight of one tenant
	DefaultTripAfter         = 10              // failures in a row that open a circuit
	DefaultOpenFor           = 2 * time.Second // from the opening to the first probe; doubles while probes fail

	openGrowth  = 8                // the longest wait for a probe, in DefaultOpenFor or what the bot file says
	coolMax     = time.Hour        // the longest Retry-After that is believed
	coolFirst   = time.Second      // how long a 429 without a Retry-After is believed; doubles with each in a row
	coolLongest = 30 * time.Second // and how long at most

	endpointsMax = 10_000 // endpoints that are remembered; those at rest are forgotten first
)

// Endpoint is what limits are about: an address without its query, as one bot of one tenant uses it.
type Endpoint struct {
	schemas.BotID

	URL string `json:"url"`
}

// Visit is one request that somebody wants to make.
type Visit struct {
	Endpoint Endpoint
	Revision string // of the bot file: another one may ask an endpoint that was gone
	Limits   bot.Limits
}

// Result is how a visit went; a nil Fault means well.
type Result struct{ Fault *fault.Fault }

// Limiter knows every endpoint that this worker asked lately. The zero value is ready.
type Limiter struct {
	// OnChange is told when an endpoint changes its state; it must not wait. Nil: nobody is told.
	OnChange func(Notice)

	mu        sync.Mutex
	endpoints map[Endpoint]*endpoint
	tenants   map[string]int // requests in flight
}

// Pass is the leave to make one request.
type Pass struct {
	limiter  *Limiter
	endpoint *endpoint
	visit    Visit
	pending  *list.Element
}

// Enter gives leave to make one request, or says why not: rate_limited and circuit_open with the time to come back, gone for
// good. Whoever enters must leave.
func (l *Limiter) Enter(v Visit) (*Pass, *fault.Fault) {
	l.mu.Lock()
	now := time.Now()
	e := l.find(v.Endpoint, now)
	e.set(v.Limits)
	refused := e.enter(now, v, l.tenants[v.Endpoint.Tenant])
	pass := &Pass{limiter: l, endpoint: e, visit: v}
	if refused == nil {
		e.inFlight++
		l.tenants[v.Endpoint.Tenant]++
		pass.pending = e.pending.PushBack(now)
	}
	notices := e.takeNotices()
	l.mu.Unlock()
	l.tell(notices)
	if refused != nil {
		return nil, refused
	}
	return pass, nil
}

// Leave says how the request went. It must be called once, whatever becomes of the request: defer it.
func (p *Pass) Leave(r Result) {
	l := p.limiter
	l.mu.Lock()
	p.endpoint.inFlight--
	p.endpoint.measure(p.pending, r.Fault)
	if l.tenants[p.visit.Endpoint.Tenant]--; l.tenants[p.visit.Endpoint.Tenant] == 0 {
		delete(l.tenants, p.visit.Endpoint.Tenant)
	}
	p.endpoint.leave(time.Now(), p.visit, r.Fault)
	notices := p.endpoint.takeNotices()
	l.mu.Unlock()
	l.tell(notices)
}

// find gives what is known of an endpoint. It is called with the lock held.
func (l *Limiter) find(name Endpoint, now time.Time) *endpoint {
	if l.endpoints == nil {
		l.endpoints, l.tenants = map[Endpoint]*endpoint{}, map[string]int{}
	}
	if e, ok := l.endpoints[name]; ok {
		return e
	}
	if len(l.endpoints) >= endpointsMax {
		l.forget(now)
	}
	e := &endpoint{name: name, state: StateClosed}
	l.endpoints[name] = e
	return e
}

// forget makes room: for every endpoint at rest, or, when none is, for one that nobody is asking.
func (l *Limiter) forget(now time.Time) {
	var idle *endpoint
	for name, e := range l.endpoints {
		switch {
		case e.inFlight > 0:
		case e.atRest(now):
			delete(l.endpoints, name)
		default:
			idle = e
		}
	}
	if len(l.endpoints) >= endpointsMax && idle != nil {
		delete(l.endpoints, idle.name)
	}
}

func (l *Limiter) tell(notices []Notice) {
	if l.OnChange == nil {
		return
	}
	for _, n := range notices {
		l.OnChange(n)
	}
}

package limit

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

var shop = Endpoint{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, URL: "https://shop.example/orders"}

func request(l bot.Limits) Request { return Request{Endpoint: shop, Revision: "r1", Limits: l} }

func acquire(t *testing.T, l *Limiter, v Request) *Permit {
	t.Helper()
	p, refused := l.Acquire(v)
	require.Nil(t, refused)
	return p
}

// send sends one request with the given outcome.
func send(t *testing.T, l *Limiter, v Request, f *fault.Fault) {
	t.Helper()
	acquire(t, l, v).Release(Result{Fault: f})
}

func deny(t *testing.T, l *Limiter, v Request, kind fault.Kind) *fault.Fault {
	t.Helper()
	p, refused := l.Acquire(v)
	require.Nil(t, p)
	require.Equal(t, kind, refused.Kind)
	require.Zero(t, refused.Status, "a denied request does not have a status of the endpoint")
	return refused
}

func answered(status int, retryAfter time.Duration) *fault.Fault {
	f := fault.New(fault.Status, "the endpoint answered %d", status)
	switch status {
	case http.StatusTooManyRequests:
		f.Kind = fault.RateLimited
	case http.StatusGone:
		f.Kind = fault.Gone
	}
	f.Status, f.RetryAfter = status, retryAfter
	return f
}

func state(l *Limiter) State {
	if all := l.Snapshot(); len(all) > 0 {
		return all[0].State
	}
	return StateClosed
}

func TestLimiter_Concurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{Concurrency: 2})
		first, _ := acquire(t, l, v), acquire(t, l, v)
		f := deny(t, l, v, fault.RateLimited)
		require.Contains(t, f.Message, "2 requests to the endpoint are in flight")
		require.Positive(t, f.RetryAfter)
		first.Release(Result{})
		acquire(t, l, v)
		require.Equal(t, StateClosed, state(l))
	})
}

func TestLimiter_TenantConcurrency(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	for i := range DefaultTenantConcurrency {
		acquire(t, l, Request{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "greedy", Bot: "b"}, URL: strconv.Itoa(i)}})
	}
	deny(t, l, Request{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "greedy", Bot: "b"}, URL: "one more"}}, fault.RateLimited)
	acquire(t, l, Request{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "modest", Bot: "b"}, URL: "0"}})
}

func TestLimiter_Rate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{PerSecond: 10, Burst: 3})
		for range 3 {
			send(t, l, v, nil)
		}
		var waits []time.Duration
		for range 5 {
			waits = append(waits, deny(t, l, v, fault.RateLimited).RetryAfter)
		}
		require.Equal(t, []time.Duration{
			100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond,
			500 * time.Millisecond,
		}, waits, "requests denied at the same time return one after another")
		for range 5 { // each at its retry time
			time.Sleep(100 * time.Millisecond)
			send(t, l, v, nil)
		}
		v.Limits.PerSecond = 0 // the bot file changed
		for range 50 {
			send(t, l, v, nil)
		}
	})
}

func TestLimiter_MaxPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for status, longest := range map[int]time.Duration{429: 0, 503: 30 * time.Second} {
			l, v := &Limiter{}, request(bot.Limits{MaxPause: bot.Duration(longest)})
			send(t, l, v, answered(status, 60_000*time.Second)) // an endpoint that means milliseconds
			longest = cmp.Or(longest, DefaultMaxPause)
			f := deny(t, l, v, fault.RateLimited)
			require.GreaterOrEqual(t, f.RetryAfter, longest)
			require.Less(t, f.RetryAfter, longest+time.Second)
			time.Sleep(longest)
			send(t, l, v, nil)
		}
	})
}

func TestLimiter_429PausesTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{})
		send(t, l, v, answered(429, 7*time.Second))
		f := deny(t, l, v, fault.RateLimited)
		require.GreaterOrEqual(t, f.RetryAfter, 7*time.Second)
		require.Less(t, f.RetryAfter, 8*time.Second)
		require.Greater(t, deny(t, l, v, fault.RateLimited).RetryAfter, f.RetryAfter)

		other := v
		other.Endpoint.Tenant = "another"
		send(t, l, other, nil)
		other = v
		other.Endpoint.URL += "/other"
		send(t, l, other, nil)

		time.Sleep(7 * time.Second)
		send(t, l, v, nil)
	})
}

func TestLimiter_LengthOfPause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []*fault.Fault
		pause   time.Duration
	}{
		"429 without a Retry-After":          {[]*fault.Fault{answered(429, 0)}, time.Second},
		"third 429 in a row":                 {[]*fault.Fault{answered(429, 0), answered(429, 0), answered(429, 0)}, 4 * time.Second},
		"hundredth 429 in a row":             {slices.Repeat([]*fault.Fault{answered(429, 0)}, 100), 30 * time.Second},
		"429 with a Retry-After of a year":   {[]*fault.Fault{answered(429, 365*24*time.Hour)}, DefaultMaxPause},
		"503 with a Retry-After":             {[]*fault.Fault{answered(503, 3*time.Second)}, 3 * time.Second},
		"a shorter pause after a longer one": {[]*fault.Fault{answered(503, 9*time.Second), answered(429, time.Second)}, 9 * time.Second},
		"503 without a Retry-After":          {[]*fault.Fault{answered(503, 0)}, 0},
		"500 with a Retry-After":             {[]*fault.Fault{answered(500, time.Second)}, 0},
		"429 after a success":                {[]*fault.Fault{answered(429, 0), nil, answered(429, 0)}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, v := &Limiter{}, request(bot.Limits{})
				var permits []*Permit
				for range c.answers {
					permits = append(permits, acquire(t, l, v))
				}
				for i, p := range permits { // all were in flight when the first answered
					p.Release(Result{Fault: c.answers[i]})
				}
				if c.pause == 0 {
					send(t, l, v, nil)
					return
				}
				time.Sleep(c.pause - time.Nanosecond)
				deny(t, l, v, fault.RateLimited)
				time.Sleep(time.Nanosecond)
				send(t, l, v, nil)
			})
		})
	}
}

func TestLimiter_CircuitOpensAfterFailures(t *testing.T) {
	t.Parallel()
	down := map[string]*fault.Fault{
		"dns": fault.New(fault.DNS, "no such host"), "connect": fault.New(fault.Connect, "refused"),
		"tls": fault.New(fault.TLS, "expired"), "timeout": fault.New(fault.Timeout, "slow"),
		"reset": fault.New(fault.Reset, "broke off"), "500": answered(500, 0), "501": answered(501, 0), "503": answered(503, 0),
	}
	for name, f := range down {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, v := &Limiter{}, request(bot.Limits{TripAfter: 3, OpenFor: bot.Duration(5 * time.Second)})
				for _, f := range []*fault.Fault{f, f, nil, f, f, answered(404, 0), f, f} {
					send(t, l, v, f)
				}
				require.Equal(t, StateClosed, state(l), "never three in a row")
				send(t, l, v, f)
				require.Equal(t, StateOpen, state(l))
				refused := deny(t, l, v, fault.CircuitOpen)
				require.GreaterOrEqual(t, refused.RetryAfter, 5*time.Second)
				require.Contains(t, refused.Message, "no request until 2000-01-01T00:00:05Z")
			})
		})
	}
}

func TestLimiter_IgnoredFailures(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Cancelled, fault.Blocked, fault.Config, fault.Internal} {
		l, v := &Limiter{}, request(bot.Limits{TripAfter: 2})
		send(t, l, v, fault.New(fault.Reset, "broke off"))
		send(t, l, v, fault.New(kind, "why"))
		require.Equal(t, StateClosed, state(l), kind)
		send(t, l, v, fault.New(fault.Reset, "broke off"))
		require.Equal(t, StateOpen, state(l), "%s is not a success either", kind)
	}
}

func TestLimiter_ProbeClosesTheCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{TripAfter: 1, OpenFor: bot.Duration(time.Second), Concurrency: 8})
		down := fault.New(fault.Connect, "refused")
		send(t, l, v, down)
		for _, seconds := range []int{1, 2, 4, 8, 8, 8} { // doubles to eight times
			pause := time.Duration(seconds) * time.Second
			time.Sleep(pause - time.Nanosecond)
			deny(t, l, v, fault.CircuitOpen)
			time.Sleep(time.Nanosecond)
			probe := acquire(t, l, v)
			deny(t, l, v, fault.CircuitOpen) // one probe at a time
			probe.Release(Result{Fault: down})
			deny(t, l, v, fault.CircuitOpen)
		}
		time.Sleep(8 * time.Second)
		for _, atATime := range []int{1, 2, 4} {
			var permits []*Permit
			for range atATime {
				permits = append(permits, acquire(t, l, v))
			}
			if atATime == 1 {
				require.Contains(t, deny(t, l, v, fault.CircuitOpen).Message, "a probe of the endpoint is in flight")
			} else {
				require.Contains(t, deny(t, l, v, fault.RateLimited).Message, fmt.Sprintf("recovering: at most %d requests at a time", atATime))
			}
			for i, p := range permits {
				if i == 0 {
					p.Release(Result{})
				} else {
					p.Release(Result{Fault: fault.New(fault.Cancelled, "stop")})
				}
			}
		}
		require.Equal(t, StateClosed, state(l))
		send(t, l, v, down)
		time.Sleep(time.Second)
		acquire(t, l, v) // the open time is short again
	})
}

func TestLimiter_DisabledUntilFileChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{})
		send(t, l, v, answered(410, 0))
		time.Sleep(1000 * time.Hour)
		require.Zero(t, deny(t, l, v, fault.Gone).RetryAfter)
		v.Revision = "r2"
		send(t, l, v, nil)
		require.Equal(t, StateClosed, state(l))
	})
}

// TestLimiter_DisabledForSeveralRevisions: steps that were queued with an older bot file do not count as a change of the
// file. Each revision gets one request from an endpoint that answers 410, and none of a worker that learns of it.
func TestLimiter_DisabledForSeveralRevisions(t *testing.T) {
	t.Parallel()
	other := &Limiter{}
	l, older, newer := &Limiter{OnChange: other.Apply}, request(bot.Limits{}), request(bot.Limits{})
	newer.Revision = "r2"
	send(t, l, older, answered(410, 0))
	send(t, l, newer, answered(410, 0))
	for range 3 {
		for _, limiter := range []*Limiter{l, other} {
			deny(t, limiter, older, fault.Gone)
			deny(t, limiter, newer, fault.Gone)
			require.Equal(t, StateDisabled, state(limiter))
		}
	}

	started := &Limiter{} // later, and it learns of the latest state only
	started.Apply(l.Snapshot()[0])
	deny(t, started, older, fault.Gone)

	newer.Revision = "r3"
	p := acquire(t, l, newer)
	deny(t, l, older, fault.Gone)
	p.Release(Result{})
	send(t, l, older, nil)
	require.Equal(t, StateClosed, state(l), "the endpoint is back, for the queued steps as well")

	for n := range 2 * goneMax {
		older.Revision = strconv.Itoa(n)
		send(t, l, older, answered(410, 0))
	}
	require.Len(t, l.Snapshot()[0].Earlier, goneMax-1)
	l.Resume(shop)
	send(t, l, older, nil)
}

func TestLimiter_OnChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []StateChange
		l := &Limiter{OnChange: func(c StateChange) { changes = append(changes, c) }}
		v := request(bot.Limits{Concurrency: 2})
		send(t, l, v, answered(429, time.Second))
		deny(t, l, v, fault.RateLimited)
		time.Sleep(time.Second)
		send(t, l, v, nil)
		send(t, l, v, answered(410, 0))
		var states []State
		for _, n := range changes {
			require.Equal(t, shop, n.Endpoint)
			require.NotEmpty(t, n.Why)
			states = append(states, n.State)
		}
		require.Equal(t, []State{StatePaused, StateRecovering, StateClosed, StateDisabled}, states)
		require.Equal(t, time.Second, changes[0].Until.Sub(time.Now().Add(-time.Second)))
		require.Equal(t, "r1", changes[3].Revision)
	})
}

func TestLimiter_ApplyOtherWorkersChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{OnChange: func(c StateChange) { t.Errorf("applied changes are not published again: %+v", c) }}, request(bot.Limits{})
		l.Apply(StateChange{Endpoint: shop, State: StatePaused, Until: time.Now().Add(-time.Second)})
		l.Apply(StateChange{Endpoint: shop, State: StateClosed})
		permit := acquire(t, l, v)
		l.Apply(StateChange{Endpoint: shop, State: StateOpen, Until: time.Now().Add(5 * time.Second)})
		l.Apply(StateChange{Endpoint: shop, State: StatePaused, Until: time.Now().Add(2 * time.Second)})
		deny(t, l, v, fault.CircuitOpen)
		permit.Release(Result{})
		deny(t, l, v, fault.CircuitOpen)
		l.Apply(StateChange{Endpoint: shop, State: StatePaused, Until: time.Now().Add(1000 * time.Hour)})
		l.OnChange = nil
		time.Sleep(time.Hour)
		acquire(t, l, v) // a probe
		deny(t, l, v, fault.RateLimited)

		l.Apply(StateChange{Endpoint: shop, State: StateDisabled, Revision: "r1"})
		l.Apply(StateChange{Endpoint: shop, State: StatePaused, Until: time.Now().Add(time.Minute)})
		deny(t, l, v, fault.Gone)
	})
}

// TestLimiter_FloodKeepsStatesOfOthers: one tenant's endpoints, however many, do not make a worker forget another's.
func TestLimiter_FloodKeepsStatesOfOthers(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	quiet := Request{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "quiet"}, URL: "u"}}
	send(t, l, quiet, answered(410, 0))
	for i := range endpointsMax + 100 {
		v := Request{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "loud"}, URL: strconv.Itoa(i)}}
		send(t, l, v, answered(429, 0)) // not idle
	}
	deny(t, l, quiet, fault.Gone)
}

func TestLimiter_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	for i := range 2*endpointsMax + 1 {
		v := Request{Endpoint: Endpoint{URL: strconv.Itoa(i)}}
		var f *fault.Fault
		if i%2 == 0 {
			f = answered(429, 0) // not idle
		}
		send(t, l, v, f)
	}
	require.LessOrEqual(t, len(l.endpoints), endpointsMax)
	require.Empty(t, l.tenants)
}

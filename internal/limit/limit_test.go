package limit

import (
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

func visit(l bot.Limits) Visit { return Visit{Endpoint: shop, Revision: "r1", Limits: l} }

func enter(t *testing.T, l *Limiter, v Visit) *Pass {
	t.Helper()
	p, refused := l.Enter(v)
	require.Nil(t, refused)
	return p
}

// ask makes one request that ends as told.
func ask(t *testing.T, l *Limiter, v Visit, f *fault.Fault) {
	t.Helper()
	enter(t, l, v).Leave(Result{Fault: f})
}

func refuse(t *testing.T, l *Limiter, v Visit, kind fault.Kind) *fault.Fault {
	t.Helper()
	p, refused := l.Enter(v)
	require.Nil(t, p)
	require.Equal(t, kind, refused.Kind)
	require.Zero(t, refused.Status, "a refusal is no answer of the endpoint")
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

func TestSoManyAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, visit(bot.Limits{Concurrency: 2})
		first, _ := enter(t, l, v), enter(t, l, v)
		f := refuse(t, l, v, fault.RateLimited)
		require.Contains(t, f.Message, "2 requests are in flight")
		require.Positive(t, f.RetryAfter)
		first.Leave(Result{})
		enter(t, l, v)
		require.Equal(t, StateClosed, state(l))
	})
}

func TestATenantCannotTakeTheWholeWorker(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	for i := range DefaultTenantConcurrency {
		enter(t, l, Visit{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "greedy", Bot: "b"}, URL: strconv.Itoa(i)}})
	}
	refuse(t, l, Visit{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "greedy", Bot: "b"}, URL: "one more"}}, fault.RateLimited)
	enter(t, l, Visit{Endpoint: Endpoint{BotID: schemas.BotID{Tenant: "modest", Bot: "b"}, URL: "0"}})
}

func TestSoManyASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, visit(bot.Limits{PerSecond: 10, Burst: 3})
		for range 3 {
			ask(t, l, v, nil)
		}
		var waits []time.Duration
		for range 5 {
			waits = append(waits, refuse(t, l, v, fault.RateLimited).RetryAfter)
		}
		require.Equal(t, []time.Duration{
			100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond,
			500 * time.Millisecond,
		}, waits, "those who were refused together come back one after another")
		for range 5 { // each at its time
			time.Sleep(100 * time.Millisecond)
			ask(t, l, v, nil)
		}
		v.Limits.PerSecond = 0 // the bot file changed
		for range 50 {
			ask(t, l, v, nil)
		}
	})
}

func TestOne429CoolsTheEndpointForEveryone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, visit(bot.Limits{})
		ask(t, l, v, answered(429, 7*time.Second))
		f := refuse(t, l, v, fault.RateLimited)
		require.GreaterOrEqual(t, f.RetryAfter, 7*time.Second)
		require.Less(t, f.RetryAfter, 8*time.Second)
		require.Greater(t, refuse(t, l, v, fault.RateLimited).RetryAfter, f.RetryAfter)

		other := v
		other.Endpoint.Tenant = "another"
		ask(t, l, other, nil)
		other = v
		other.Endpoint.URL += "/other"
		ask(t, l, other, nil)

		time.Sleep(7 * time.Second)
		ask(t, l, v, nil)
	})
}

func TestHowLongAPauseIsBelieved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []*fault.Fault
		pause   time.Duration
	}{
		"a 429 that says nothing":        {[]*fault.Fault{answered(429, 0)}, time.Second},
		"the third in a row":             {[]*fault.Fault{answered(429, 0), answered(429, 0), answered(429, 0)}, 4 * time.Second},
		"the hundredth in a row":         {slices.Repeat([]*fault.Fault{answered(429, 0)}, 100), 30 * time.Second},
		"a 429 that says a year":         {[]*fault.Fault{answered(429, 365*24*time.Hour)}, time.Hour},
		"a 503 that says when":           {[]*fault.Fault{answered(503, 3*time.Second)}, 3 * time.Second},
		"a shorter one after":            {[]*fault.Fault{answered(503, 9*time.Second), answered(429, time.Second)}, 9 * time.Second},
		"a 503 that says nothing":        {[]*fault.Fault{answered(503, 0)}, 0},
		"a 500 that says when":           {[]*fault.Fault{answered(500, time.Second)}, 0},
		"a 429 in a row that was broken": {[]*fault.Fault{answered(429, 0), nil, answered(429, 0)}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, v := &Limiter{}, visit(bot.Limits{})
				var passes []*Pass
				for range c.answers {
					passes = append(passes, enter(t, l, v))
				}
				for i, p := range passes { // all were in flight when the first answered
					p.Leave(Result{Fault: c.answers[i]})
				}
				if c.pause == 0 {
					ask(t, l, v, nil)
					return
				}
				time.Sleep(c.pause - time.Nanosecond)
				refuse(t, l, v, fault.RateLimited)
				time.Sleep(time.Nanosecond)
				ask(t, l, v, nil)
			})
		})
	}
}

func TestACircuitOpensAfterFailuresInARow(t *testing.T) {
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
				l, v := &Limiter{}, visit(bot.Limits{TripAfter: 3, OpenFor: bot.Duration(5 * time.Second)})
				for _, f := range []*fault.Fault{f, f, nil, f, f, answered(404, 0), f, f} {
					ask(t, l, v, f)
				}
				require.Equal(t, StateClosed, state(l), "never three in a row")
				ask(t, l, v, f)
				require.Equal(t, StateOpen, state(l))
				refused := refuse(t, l, v, fault.CircuitOpen)
				require.GreaterOrEqual(t, refused.RetryAfter, 5*time.Second)
				require.Contains(t, refused.Message, "no request until 2000-01-01T00:00:05Z")
			})
		})
	}
}

func TestWhatSaysNothingOfAnEndpoint(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Cancelled, fault.Blocked, fault.Config, fault.Internal} {
		l, v := &Limiter{}, visit(bot.Limits{TripAfter: 2})
		ask(t, l, v, fault.New(fault.Reset, "broke off"))
		ask(t, l, v, fault.New(kind, "why"))
		require.Equal(t, StateClosed, state(l), kind)
		ask(t, l, v, fault.New(fault.Reset, "broke off"))
		require.Equal(t, StateOpen, state(l), "%s is no success either", kind)
	}
}

func TestAProbeDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, visit(bot.Limits{TripAfter: 1, OpenFor: bot.Duration(time.Second), Concurrency: 8})
		down := fault.New(fault.Connect, "refused")
		ask(t, l, v, down)
		for _, seconds := range []int{1, 2, 4, 8, 8, 8} { // doubles to eight times
			pause := time.Duration(seconds) * time.Second
			time.Sleep(pause - time.Nanosecond)
			refuse(t, l, v, fault.CircuitOpen)
			time.Sleep(time.Nanosecond)
			probe := enter(t, l, v)
			refuse(t, l, v, fault.CircuitOpen) // one probe at a time
			probe.Leave(Result{Fault: down})
			refuse(t, l, v, fault.CircuitOpen)
		}
		time.Sleep(8 * time.Second)
		for _, atATime := range []int{1, 2, 4} {
			var passes []*Pass
			for range atATime {
				passes = append(passes, enter(t, l, v))
			}
			if atATime == 1 {
				require.Contains(t, refuse(t, l, v, fault.CircuitOpen).Message, "is probed")
			} else {
				require.Contains(t, refuse(t, l, v, fault.RateLimited).Message, fmt.Sprintf("recovers: %d at a time", atATime))
			}
			for i, p := range passes {
				if i == 0 {
					p.Leave(Result{})
				} else {
					p.Leave(Result{Fault: fault.New(fault.Cancelled, "stop")})
				}
			}
		}
		require.Equal(t, StateClosed, state(l))
		ask(t, l, v, down)
		time.Sleep(time.Second)
		enter(t, l, v) // the wait is short again
	})
}

// TestACrowdComesBackAsAQueue lets a thousand steps be refused by an open circuit, and come back when they were told to.
func TestACrowdComesBackAsAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const crowd = 1000
		l, v := &Limiter{}, visit(bot.Limits{TripAfter: 1})
		ask(t, l, v, fault.New(fault.Connect, "refused"))
		busy, most, done := 0, 0, 0
		inAny100ms := map[int64]int{}
		var waiting []time.Time
		for range crowd {
			waiting = append(waiting, time.Now().Add(refuse(t, l, v, fault.CircuitOpen).RetryAfter))
		}
		for done < crowd {
			slices.SortFunc(waiting, time.Time.Compare)
			time.Sleep(time.Until(waiting[0]))
			waiting = waiting[1:]
			pass, refused := l.Enter(v)
			if refused != nil {
				require.Positive(t, refused.RetryAfter)
				waiting = append(waiting, time.Now().Add(refused.RetryAfter))
				continue
			}
			busy++
			most = max(most, busy)
			inAny100ms[time.Now().UnixMilli()/100]++
			pass.Leave(Result{})
			busy--
			done++
		}
		require.Equal(t, 1, most)
		for _, n := range inAny100ms {
			require.LessOrEqual(t, n, 6, "requests within a tenth of a second of the recovery")
		}
		require.Equal(t, StateClosed, state(l))
	})
}

func TestGoneUntilTheFileChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, visit(bot.Limits{})
		ask(t, l, v, answered(410, 0))
		time.Sleep(1000 * time.Hour)
		require.Zero(t, refuse(t, l, v, fault.Gone).RetryAfter)
		v.Revision = "r2"
		ask(t, l, v, nil)
		require.Equal(t, StateClosed, state(l))
	})
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []Notice
		l := &Limiter{OnChange: func(n Notice) { told = append(told, n) }}
		v := visit(bot.Limits{Concurrency: 2})
		ask(t, l, v, answered(429, time.Second))
		refuse(t, l, v, fault.RateLimited)
		time.Sleep(time.Second)
		ask(t, l, v, nil)
		ask(t, l, v, answered(410, 0))
		var states []State
		for _, n := range told {
			require.Equal(t, shop, n.Endpoint)
			require.NotEmpty(t, n.Why)
			states = append(states, n.State)
		}
		require.Equal(t, []State{StateCooling, StateRecovering, StateClosed, StateGone}, states)
		require.Equal(t, time.Second, told[0].Until.Sub(time.Now().Add(-time.Second)))
		require.Equal(t, "r1", told[3].Revision)
	})
}

func TestWorkersBelieveEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{OnChange: func(n Notice) { t.Errorf("what was heard is not told again: %+v", n) }}, visit(bot.Limits{})
		l.Hear(Notice{Endpoint: shop, State: StateCooling, Until: time.Now().Add(-time.Second)})
		l.Hear(Notice{Endpoint: shop, State: StateClosed})
		pass := enter(t, l, v)
		l.Hear(Notice{Endpoint: shop, State: StateOpen, Until: time.Now().Add(5 * time.Second)})
		l.Hear(Notice{Endpoint: shop, State: StateCooling, Until: time.Now().Add(2 * time.Second)})
		refuse(t, l, v, fault.CircuitOpen)
		pass.Leave(Result{})
		refuse(t, l, v, fault.CircuitOpen)
		l.Hear(Notice{Endpoint: shop, State: StateCooling, Until: time.Now().Add(1000 * time.Hour)})
		l.OnChange = nil
		time.Sleep(time.Hour)
		enter(t, l, v) // a probe
		refuse(t, l, v, fault.RateLimited)

		l.Hear(Notice{Endpoint: shop, State: StateGone, Revision: "r1"})
		l.Hear(Notice{Endpoint: shop, State: StateCooling, Until: time.Now().Add(time.Minute)})
		refuse(t, l, v, fault.Gone)
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	for i := range 2*endpointsMax + 1 {
		v := Visit{Endpoint: Endpoint{URL: strconv.Itoa(i)}}
		var f *fault.Fault
		if i%2 == 0 {
			f = answered(429, 0) // not at rest
		}
		ask(t, l, v, f)
	}
	require.LessOrEqual(t, len(l.endpoints), endpointsMax)
	require.Empty(t, l.tenants)
}

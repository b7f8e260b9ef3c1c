package limit

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

func TestLimiter_HeldByAnOperator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{})
		l.Hold(shop, time.Time{})
		require.Equal(t, StateHeld, state(l))
		require.GreaterOrEqual(t, deny(t, l, v, fault.RateLimited).RetryAfter, HeldRecheck)
		l.Resume(shop)
		send(t, l, v, nil)

		l.Hold(shop, time.Now().Add(time.Hour))
		require.GreaterOrEqual(t, deny(t, l, v, fault.RateLimited).RetryAfter, time.Hour)
		<-time.After(time.Hour)
		send(t, l, v, nil)
		require.Empty(t, l.Snapshot())
	})
}

func TestLimiter_ResumeLiftsEveryState(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fault.Fault{
		"open circuit": fault.New(fault.Connect, "refused"), "retry after": answered(429, time.Hour), "gone": answered(410, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var last StateChange
			l, v := &Limiter{OnChange: func(c StateChange) { last = c }}, request(bot.Limits{TripAfter: 1})
			send(t, l, v, f)
			_, denied := l.Acquire(v)
			require.NotNil(t, denied)
			l.Hold(shop, time.Time{})
			l.Resume(shop)
			require.Equal(t, StateClosed, last.State)
			acquire(t, l, v)
			acquire(t, l, v) // no probe alone
		})
	}
}

func TestLimiter_HeldEndpointStaysInMemory(t *testing.T) {
	t.Parallel()
	l := &Limiter{}
	l.Hold(shop, time.Time{})
	l.evict(time.Now())
	deny(t, l, request(bot.Limits{}), fault.RateLimited)
}

// TestPauses: a pause that an answer asks for lasts for all of that time, or the caller learns that it does not.
func TestPauses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status   int
		asks     time.Duration
		maxPause time.Duration // 0 = the default
		pauses   bool
	}{
		"429":                   {http.StatusTooManyRequests, time.Minute, 0, true},
		"503":                   {http.StatusServiceUnavailable, DefaultMaxPause, 0, true},
		"longer than allowed":   {http.StatusServiceUnavailable, DefaultMaxPause + time.Second, 0, false},
		"as long as allowed":    {http.StatusServiceUnavailable, time.Hour, time.Hour, true},
		"without a Retry-After": {http.StatusTooManyRequests, 0, 0, false},
		"another status":        {http.StatusInternalServerError, time.Minute, 0, false},
	} {
		f := fault.New(fault.Status, "no")
		f.Status, f.RetryAfter = c.status, c.asks
		limits := bot.Limits{MaxPause: bot.Duration(c.maxPause)}
		require.Equal(t, c.pauses, Pauses(f, limits), name)
		if !c.pauses {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			l, r := &Limiter{}, request(limits)
			permit, denied := l.Acquire(r)
			require.Nil(t, denied, name)
			permit.Release(Result{Fault: f})
			require.GreaterOrEqual(t, deny(t, l, r, fault.RateLimited).RetryAfter, c.asks, name)
		})
	}
}

// TestLimiter_RechecksTakeNoRetrySlots: queued steps that ask during a pause do not delay the requests behind its end.
func TestLimiter_RechecksTakeNoRetrySlots(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(*testing.T, *Limiter, Request){
		"by an operator":  func(_ *testing.T, l *Limiter, _ Request) { l.Hold(shop, time.Now().Add(time.Hour)) },
		"without an end":  func(_ *testing.T, l *Limiter, _ Request) { l.Hold(shop, time.Time{}) },
		"by the endpoint": func(t *testing.T, l *Limiter, v Request) { send(t, l, v, answered(429, time.Hour)) },
		"of an open circuit": func(t *testing.T, l *Limiter, v Request) {
			send(t, l, v, fault.New(fault.Connect, "refused"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hour := bot.Duration(time.Hour)
				l, v := &Limiter{}, request(bot.Limits{TripAfter: 1, OpenFor: hour, MaxPause: hour})
				pause(t, l, v)
				queued := v
				queued.Rechecks = true
				until := l.Check(queued).RetryAfter
				require.Positive(t, until)
				for range 100 {
					require.Equal(t, until, l.Check(queued).RetryAfter)
				}
				require.Equal(t, until+slotGap, l.Check(v).RetryAfter)
			})
		})
	}
}

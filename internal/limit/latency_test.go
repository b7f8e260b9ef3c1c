package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

// answerAfter sends one request that takes a time and has the given outcome.
func answerAfter(t *testing.T, l *Limiter, v Request, took time.Duration, f *fault.Fault) {
	t.Helper()
	p := acquire(t, l, v)
	time.Sleep(took)
	p.Release(Result{Fault: f})
}

func TestLimiter_SlowEndpoint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took   []time.Duration
		failed *fault.Fault
		slow   bool
	}{
		"no request yet":         {nil, nil, false},
		"fast":                   {[]time.Duration{20 * time.Millisecond, 400 * time.Millisecond}, nil, false},
		"slow":                   {[]time.Duration{time.Second}, nil, true},
		"one slow answer of ten": {[]time.Duration{1, 1, 1, 1, 1, 1, 1, 1, 1, time.Second}, nil, false},
		"became slow":            {[]time.Duration{1, time.Second, time.Second, time.Second, time.Second}, nil, true},
		"became fast":            {[]time.Duration{time.Second, time.Second, time.Second, time.Second, 1}, nil, false},
		"fast on a busy machine": {[]time.Duration{2 * time.Second, time.Second, 2 * time.Second, 100 * time.Millisecond}, nil, false},
		"slow errors":            {[]time.Duration{time.Second}, answered(500, 0), true},
		"timeouts":               {[]time.Duration{time.Second}, fault.New(fault.Timeout, "slow"), true},
		"unreachable":            {[]time.Duration{time.Second}, fault.New(fault.Connect, "refused"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, v := &Limiter{}, request(bot.Limits{})
				for _, took := range c.took {
					answerAfter(t, l, v, took, c.failed)
				}
				require.Equal(t, c.slow, l.Slow(v.Endpoint))
			})
		})
	}
}

func TestLimiter_SlowRequestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{})
		answerAfter(t, l, v, time.Millisecond, nil)
		hanging := acquire(t, l, v)
		time.Sleep(hangsAfter)
		require.False(t, l.Slow(v.Endpoint))
		time.Sleep(time.Nanosecond)
		require.True(t, l.Slow(v.Endpoint), "a request hangs")
		hanging.Release(Result{Fault: fault.New(fault.Reset, "broke off")})
		require.False(t, l.Slow(v.Endpoint))
	})
}

func TestLimiter_ManyRequestsToUnknownEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{})
		var permits []*Permit
		for range unknownMax {
			require.False(t, l.Slow(v.Endpoint))
			permits = append(permits, acquire(t, l, v))
		}
		require.True(t, l.Slow(v.Endpoint), "the answer time is not known yet")
		permits[0].Release(Result{})
		require.False(t, l.Slow(v.Endpoint))
	})
}

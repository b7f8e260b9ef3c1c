package limit

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

// TestLimiter_DeniedRequestsReturnInAQueue denies a thousand requests while the circuit is open, and retries each at
// its retry time.
func TestLimiter_DeniedRequestsReturnInAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const requests = 1000
		l, v := &Limiter{}, request(bot.Limits{TripAfter: 1})
		send(t, l, v, fault.New(fault.Connect, "refused"))
		busy, most, done := 0, 0, 0
		inAny100ms := map[int64]int{}
		var waiting []time.Time
		for range requests {
			waiting = append(waiting, time.Now().Add(deny(t, l, v, fault.CircuitOpen).RetryAfter))
		}
		for done < requests {
			slices.SortFunc(waiting, time.Time.Compare)
			time.Sleep(time.Until(waiting[0]))
			waiting = waiting[1:]
			permit, refused := l.Acquire(v)
			if refused != nil {
				require.Positive(t, refused.RetryAfter)
				waiting = append(waiting, time.Now().Add(refused.RetryAfter))
				continue
			}
			busy++
			most = max(most, busy)
			inAny100ms[time.Now().UnixMilli()/100]++
			permit.Release(Result{})
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

// TestLimiter_RetriesFollowAnswers: requests that wait for others in flight come back as fast as the endpoint answers.
func TestLimiter_RetriesFollowAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{Concurrency: 5})
		answerAfter(t, l, v, 20*time.Second, nil)
		for range 5 {
			acquire(t, l, v)
		}
		before := deny(t, l, v, fault.RateLimited).RetryAfter
		for range 10 {
			next := deny(t, l, v, fault.RateLimited).RetryAfter
			require.Equal(t, 4*time.Second, next-before, "20 s for 5 at a time")
			before = next
		}
	})
}

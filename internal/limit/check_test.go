package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// TestLimiter_Check: a check has the outcome of Acquire, and takes neither a place nor a token of the rate.
func TestLimiter_Check(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, v := &Limiter{}, request(bot.Limits{PerSecond: 1, Concurrency: 1})
		for range 3 {
			require.Nil(t, l.Check(v))
		}
		permit := acquire(t, l, v)
		require.Contains(t, l.Check(v).Message, "in flight")
		permit.Release(Result{})
		require.Contains(t, l.Check(v).Message, "requests a second")
		<-time.After(time.Second)
		require.Nil(t, l.Check(v))
		send(t, l, v, nil)
	})
}

package activities

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// ended adds an attempt that has ended, whose result takes so many bytes.
func ended(fs *flights[int], tenant string, n, bytes int) attemptKey {
	key := attemptKey{tenant: tenant, event: fmt.Sprint(n), n: 1}
	fs.end(key, &flight[int]{done: make(chan struct{}), stop: func(error) {}, result: n, keep: true, bytes: bytes})
	return key
}

// TestFlights_TenantPushesOutItsOwn: a repetition whose attempt is not found makes its request again, so that a tenant with
// many or large answers must not remove the attempts of others.
func TestFlights_TenantPushesOutItsOwn(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]int{"large": 256 << 10, "small": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fs flights[int]
			quiet := ended(&fs, "quiet", 0, 1<<10)
			var first, last attemptKey
			for n := range endedMax/max(bytes, endedBytes) + 10 {
				if last = ended(&fs, "greedy", n, bytes); n == 0 {
					first = last
				}
			}
			require.Nil(t, fs.find(first))
			require.NotNil(t, fs.find(last))
			require.NotNil(t, fs.find(quiet))
		})
	}
}

// TestFlights_OldAttemptsRemoved: results have data of users, and are kept for five minutes, also while their tenant is idle.
func TestFlights_OldAttemptsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fs flights[int]
		old := ended(&fs, "idle", 0, 1)
		<-time.After(endedFor - time.Second)
		latest := ended(&fs, "acme", 1, 1)
		require.NotNil(t, fs.find(old))
		<-time.After(time.Second)
		require.Nil(t, fs.find(old))
		require.NotNil(t, fs.find(latest))
		synctest.Wait()
		require.Equal(t, 1, fs.kept.Len())
		<-time.After(endedFor)
		synctest.Wait()
		require.Zero(t, fs.kept.Len(), "no attempt ends any more")
		ended(&fs, "acme", 2, 1)
		<-time.After(endedFor)
		synctest.Wait()
		require.Zero(t, fs.kept.Len())
	})
}

// TestFlights_OldAttemptIsNotUsed: an attempt that was not removed yet is not that of a repetition.
func TestFlights_OldAttemptIsNotUsed(t *testing.T) {
	t.Parallel()
	var fs flights[int]
	old := ended(&fs, "acme", 0, 1)
	fs.find(old).ended = time.Now().Add(-endedFor)
	require.Nil(t, fs.find(old))
}

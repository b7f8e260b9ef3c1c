package flight

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
)

// ended adds an attempt that has ended, whose result takes so many bytes.
func ended(g *Group[int], tenant string, n, bytes int) Key {
	key := Key{Tenant: tenant, Event: fmt.Sprint(n), N: 1}
	g.end(key, &Flight[int]{done: make(chan struct{}), stop: func(error) {}, result: n, Keep: true, Bytes: bytes})
	return key
}

// TestGroup_TenantPushesOutItsOwn: a repetition whose attempt is not found makes its request again, so that a tenant with
// many or large answers must not remove the attempts of others.
func TestGroup_TenantPushesOutItsOwn(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]int{"large": 256 << 10, "small": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var g Group[int]
			quiet := ended(&g, "quiet", 0, 1<<10)
			var first, last Key
			for n := range keptBytes/max(bytes, leastBytes) + 10 {
				if last = ended(&g, "greedy", n, bytes); n == 0 {
					first = last
				}
			}
			require.Nil(t, g.Find(first))
			require.NotNil(t, g.Find(last))
			require.NotNil(t, g.Find(quiet))
		})
	}
}

// TestGroup_OldAttemptsRemoved: results have data of users, and are kept for five minutes, also while their tenant is idle.
func TestGroup_OldAttemptsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		old := ended(&g, "idle", 0, 1)
		<-time.After(keptFor - time.Second)
		latest := ended(&g, "acme", 1, 1)
		require.NotNil(t, g.Find(old))
		<-time.After(time.Second)
		require.Nil(t, g.Find(old))
		require.NotNil(t, g.Find(latest))
		synctest.Wait()
		require.Equal(t, 1, g.kept.Len())
		<-time.After(keptFor)
		synctest.Wait()
		require.Zero(t, g.kept.Len(), "no attempt ends any more")
		ended(&g, "acme", 2, 1)
		<-time.After(keptFor)
		synctest.Wait()
		require.Zero(t, g.kept.Len())
	})
}

// TestGroup_OldAttemptIsNotUsed: an attempt that was not removed yet is not that of a repetition.
func TestGroup_OldAttemptIsNotUsed(t *testing.T) {
	t.Parallel()
	var g Group[int]
	old := ended(&g, "acme", 0, 1)
	g.Find(old).ended = time.Now().Add(-keptFor)
	require.Nil(t, g.Find(old))
}

// TestGroup_ProgressFromTheStart: heartbeats of an attempt that has just started report what is known of the step.
func TestGroup_ProgressFromTheStart(t *testing.T) {
	t.Parallel()
	var g Group[int]
	begin := make(chan struct{})
	f := g.JoinOrStart(t.Context(), slog.New(slog.DiscardHandler), Key{Event: "e-1", N: 2}, Plan[int]{
		Make:     func(context.Context, *Flight[int]) int { <-begin; return 1 },
		Progress: step.Progress{Waited: time.Hour},
	})
	require.Equal(t, time.Hour, f.Progress().Waited)
	close(begin)
	<-f.Done()
	require.Equal(t, 1, f.Result())
}

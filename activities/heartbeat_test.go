package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/hookturn/hookturn/internal/step"
)

// TestHeartbeats_TimeoutFollowsLoad: with few activities a lost worker is noticed and replaced within 5 s; with many, their
// heartbeats together stay few.
func TestHeartbeats_TimeoutFollowsLoad(t *testing.T) {
	t.Parallel()
	var h heartbeats
	for _, c := range []struct {
		running   int64
		report    time.Duration
		timeout   time.Duration
		perSecond float64
	}{
		{0, 0, 3 * time.Second, 0},
		{64, 20 * time.Millisecond, 3 * time.Second, 64},
		{300, 0, 6 * time.Second, 100},
		{900, 0, heartbeatTimeoutMost, 100},
		{2000, time.Second, heartbeatTimeoutMost, 223},
		{64, time.Second, 10 * time.Second, 11},
	} {
		h.running.Store(c.running)
		require.Equal(t, c.timeout, h.timeout(c.report), "%d activities", c.running)
		every := interval(h.timeout(c.report))
		require.InDelta(t, c.perSecond, float64(c.running)/every.Seconds(), 1, "%d activities", c.running)
		require.GreaterOrEqual(t, h.timeout(c.report)-every, heartbeatLate, "%d activities", c.running)
	}
}

// TestHeartbeats_Count: only activities that run count.
func TestHeartbeats_Count(t *testing.T) {
	t.Parallel()
	var h heartbeats
	var during int64
	run := func(ctx context.Context) error {
		stop := h.start(ctx, false, func() step.Progress { return step.Progress{} })
		during = h.running.Load()
		stop()
		stop() // an activity that fails stops before its last heartbeat
		return nil
	}
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment().SetTestTimeout(time.Minute)
	env.RegisterActivity(run)
	_, err := env.ExecuteActivity(run)
	require.NoError(t, err)
	require.EqualValues(t, 1, during)
	require.Zero(t, h.running.Load())
	_, err = env.ExecuteLocalActivity(run)
	require.NoError(t, err)
	require.Zero(t, during, "a local activity sends none")
}

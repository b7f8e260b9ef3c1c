package load

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMonitor_LateTimers(t *testing.T) {
	t.Parallel()
	var m Monitor
	m.Lagged(tick, 0)
	require.False(t, m.High(TaskReportMax))
	m.Lagged(300*time.Millisecond, 300*time.Millisecond)
	require.False(t, m.High(TaskReportMax), "a single pause does not count as overload")
	for range 40 {
		m.Lagged(200*time.Millisecond, 175*time.Millisecond)
	}
	require.True(t, m.High(TaskReportMax), "timers are late again and again")
	for range 200 {
		m.Lagged(tick, 0)
	}
	require.False(t, m.High(TaskReportMax), "the load is over")
}

// TestMonitor_Pauses: a pause counts from the moment of its end, before and after it is measured.
func TestMonitor_Pauses(t *testing.T) {
	t.Parallel()
	var m Monitor
	require.Zero(t, m.Pauses(), "nothing is measured")
	m.measuredAt(time.Now().Add(-time.Hour))
	require.EqualValues(t, 1, m.Pauses())
	m.measuredAt(time.Now())
	require.EqualValues(t, 1, m.Pauses())
	m.measuredAt(time.Now().Add(ShortestPause / 2))
	require.EqualValues(t, 1, m.Pauses())
	m.measuredAt(time.Now().Add(2 * ShortestPause))
	require.EqualValues(t, 2, m.Pauses())
}

func TestMonitor_SlowReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		for range 5 {
			done := m.Report()
			time.Sleep(pendingFactor*TaskReportMax - time.Millisecond)
			done()
		}
		require.True(t, m.High(TaskReportMax), "the server is slow")
		require.False(t, m.High(ActivityReportMax), "activities can still send their heartbeats in time")
		require.Greater(t, m.ReportTime(), TaskReportMax)
		time.Sleep(10 * time.Second)
		require.False(t, m.High(TaskReportMax), "that was long ago")

		done := m.Report()
		time.Sleep(pendingFactor*TaskReportMax + time.Millisecond)
		require.True(t, m.High(TaskReportMax), "a report is under way for too long")
		done()
		for range 100 {
			fast := m.Report()
			time.Sleep(100 * time.Millisecond)
			fast()
		}
		require.False(t, m.High(TaskReportMax), "reports are fast again")
	})
}

func TestMonitor_Memory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		used, limit uint64
		high        bool
	}{
		"no limit": {1 << 40, 0, false}, "below": {79, 100, false}, "above": {81, 100, true},
	} {
		m := &Monitor{memory: func() (uint64, uint64) { return c.used, c.limit }}
		m.lookAtMemory()
		require.Equal(t, c.high, m.High(TaskReportMax), name)
	}
	require.Positive(t, memoryUsed())
}

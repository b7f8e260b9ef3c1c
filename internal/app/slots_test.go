package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/load"
)

// issued is a reservation that knows how many slots were given out.
type issued struct {
	worker.SlotReservationInfo

	n int
}

func (i issued) NumIssuedSlots() int { return i.n }

// overloaded is a monitor of a process whose timers are late.
func overloaded() *load.Monitor {
	var m load.Monitor
	m.Lagged(time.Minute, time.Second)
	return &m
}

func TestSupplier_Overload(t *testing.T) {
	t.Parallel()
	m := overloaded()
	s, err := newSupplier(m, 2, 4, load.TaskReportMax)
	require.NoError(t, err)
	for n := range 2 {
		require.NotNil(t, s.TryReserveSlot(issued{n: n}), "some work is taken on at any load")
	}
	require.Nil(t, s.TryReserveSlot(issued{n: 2}))
	waiting, give := context.WithTimeout(t.Context(), 2*recheck)
	defer give()
	_, err = s.ReserveSlot(waiting, issued{n: 2})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	m.Lagged(time.Minute, 0)
	for n := range 2 {
		_, err = s.ReserveSlot(t.Context(), issued{n: 2 + n})
		require.NoError(t, err, "the load is over, and the wait that was given up kept no slot")
	}
	require.Nil(t, s.TryReserveSlot(issued{n: 4}), "never more than all")
}

// markUsed and release are the information about one slot.
type markUsed struct {
	worker.SlotMarkUsedInfo

	permit *worker.SlotPermit
}

func (m markUsed) Permit() *worker.SlotPermit { return m.permit }

type release struct {
	worker.SlotReleaseInfo

	permit *worker.SlotPermit
}

func (r release) Permit() *worker.SlotPermit { return r.permit }

func TestSupplier_UsedShare(t *testing.T) {
	t.Parallel()
	m := overloaded()
	s, err := newSupplier(m, 4, 10, load.TaskReportMax)
	require.NoError(t, err)
	var permits []*worker.SlotPermit
	for n := range 3 {
		permits = append(permits, s.TryReserveSlot(issued{n: n}))
	}
	require.Zero(t, s.usedShare(), "slots of polls are not in use")
	for _, p := range permits[:2] {
		s.MarkSlotUsed(markUsed{permit: p})
	}
	require.InDelta(t, 0.5, s.usedShare(), 1e-9, "2 of the 4 that an overloaded worker uses")
	m.Lagged(time.Minute, 0)
	require.InDelta(t, 0.2, s.usedShare(), 1e-9, "2 of 10")
	for _, p := range permits {
		s.ReleaseSlot(release{permit: p})
	}
	require.Zero(t, s.usedShare())
}

func TestTuner(t *testing.T) {
	t.Parallel()
	tuned, used, err := tuner(overloaded())
	require.NoError(t, err)
	require.Nil(t, tuned.GetWorkflowTaskSlotSupplier().TryReserveSlot(issued{n: tasksAlways}))
	require.Nil(t, tuned.GetActivityTaskSlotSupplier().TryReserveSlot(issued{n: activitiesAlways}))
	require.NotNil(t, tuned.GetLocalActivitySlotSupplier().TryReserveSlot(issued{n: tasksAlways}),
		"a local activity is part of a task that was taken on")
	require.Zero(t, used(), "no work runs")
	require.True(t, isReport("/temporal.api.workflowservice.v1.WorkflowService/RecordActivityTaskHeartbeat"))
	require.False(t, isReport("/temporal.api.workflowservice.v1.WorkflowService/PollActivityTaskQueue"))
}

// TestTuner_SlowReports: while the server takes its time, a worker takes activities, which wait for endpoints, but no more
// workflow tasks, which the server gives up soon.
func TestTuner_SlowReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m load.Monitor
		for range 5 {
			done := m.Report()
			<-time.After(2 * load.TaskReportMax)
			done()
		}
		tuned, _, err := tuner(&m)
		require.NoError(t, err)
		require.Nil(t, tuned.GetWorkflowTaskSlotSupplier().TryReserveSlot(issued{n: tasksAlways}))
		require.NotNil(t, tuned.GetActivityTaskSlotSupplier().TryReserveSlot(issued{n: activitiesAlways}))
	})
}

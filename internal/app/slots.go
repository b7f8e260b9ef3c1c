package app

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"

	"github.com/hookturn/hookturn/internal/load"
	"github.com/hookturn/hookturn/internal/stack"
)

// A worker accepts only as much work as it can serve: it must send heartbeats of running work to the server every few
// seconds, or the server assigns the work to another worker, which makes an overload worse. Other work waits at the
// server.

const (
	// tasksAlways and activitiesAlways are the workflow tasks and activities that a worker accepts at any load, polls
	// included.
	tasksAlways      = 64
	activitiesAlways = 32
	// recheck is how often an overloaded worker checks its load.
	recheck = 20 * time.Millisecond
)

// slots returns how many workflow tasks, or activities, a worker runs at a time: they wait for endpoints, so memory
// bounds the number, not the cores.
func slots() int { return 1000 * max(2, runtime.GOMAXPROCS(0)) }

// tuner returns the slot suppliers of a worker that measures its load, and a function that returns the share of slots in
// use. Local activities are never delayed: they are part of a workflow task that has begun.
func tuner(m *load.Monitor) (tuned worker.WorkerTuner, used func() float64, err error) {
	tasks, err := newSupplier(m, tasksAlways, slots(), load.TaskReportMax)
	if err != nil {
		return nil, nil, err
	}
	acts, err := newSupplier(m, activitiesAlways, slots(), load.ActivityReportMax)
	if err != nil {
		return nil, nil, err
	}
	local, err := worker.NewFixedSizeSlotSupplier(slots())
	if err != nil {
		return nil, nil, fmt.Errorf("create slot supplier: %w", err)
	}
	one, err := worker.NewFixedSizeSlotSupplier(1) // for features that hookturn does not use
	if err != nil {
		return nil, nil, fmt.Errorf("create slot supplier: %w", err)
	}
	tuned, err = worker.NewCompositeTuner(worker.CompositeTunerOptions{
		WorkflowSlotSupplier: tasks, ActivitySlotSupplier: acts, LocalActivitySlotSupplier: growing{local},
		NexusSlotSupplier: one, SessionActivitySlotSupplier: one,
	})
	return tuned, func() float64 { return max(tasks.usedShare(), acts.usedShare()) }, err
}

// supplier supplies slots up to a limit; above a smaller limit it supplies them only while the load is not high.
type supplier struct {
	worker.SlotSupplier

	load      *load.Monitor
	always    int
	most      int
	reportMax time.Duration // see load.Monitor.High

	mu   sync.Mutex
	used map[*worker.SlotPermit]struct{} // permits of running work; those of polls are reserved and not used
}

func newSupplier(m *load.Monitor, always, most int, reportMax time.Duration) (*supplier, error) {
	fixed, err := worker.NewFixedSizeSlotSupplier(most)
	if err != nil {
		return nil, fmt.Errorf("create slot supplier: %w", err)
	}
	return &supplier{
		SlotSupplier: fixed, load: m, always: always, most: most, reportMax: reportMax,
		used: map[*worker.SlotPermit]struct{}{},
	}, nil
}

// ReserveSlot waits for a slot.
func (s *supplier) ReserveSlot(ctx context.Context, info worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	permit, err := s.SlotSupplier.ReserveSlot(ctx, info)
	if err != nil {
		return nil, err
	}
	for s.full(info) {
		select {
		case <-ctx.Done():
			s.ReleaseSlot(nil)
			return nil, ctx.Err()
		case <-time.After(recheck):
		}
	}
	return permit, nil
}

// TryReserveSlot returns a slot when there is one now.
func (s *supplier) TryReserveSlot(info worker.SlotReservationInfo) *worker.SlotPermit {
	if s.full(info) {
		return nil
	}
	return s.SlotSupplier.TryReserveSlot(info)
}

// MarkSlotUsed records that work runs in a slot. The SDK calls it first in the goroutine of the work.
func (s *supplier) MarkSlotUsed(info worker.SlotMarkUsedInfo) {
	stack.Grow()
	s.mu.Lock()
	s.used[info.Permit()] = struct{}{}
	s.mu.Unlock()
	s.SlotSupplier.MarkSlotUsed(info)
}

// ReleaseSlot takes a slot back.
func (s *supplier) ReleaseSlot(info worker.SlotReleaseInfo) {
	if info != nil {
		s.mu.Lock()
		delete(s.used, info.Permit())
		s.mu.Unlock()
	}
	s.SlotSupplier.ReleaseSlot(info)
}

// growing grows the stack of each local activity's goroutine, as supplier does for other work.
type growing struct{ worker.SlotSupplier }

// MarkSlotUsed is called first in the goroutine of the local activity.
func (g growing) MarkSlotUsed(info worker.SlotMarkUsedInfo) {
	stack.Grow()
	g.SlotSupplier.MarkSlotUsed(info)
}

// usedShare returns the slots in use as a share of those that the worker uses under its present load, at most 1.
func (s *supplier) usedShare() float64 {
	s.mu.Lock()
	used := len(s.used)
	s.mu.Unlock()
	limit := s.most
	if s.load.High(s.reportMax) {
		limit = s.always
	}
	return min(1, float64(used)/float64(limit))
}

func (s *supplier) full(info worker.SlotReservationInfo) bool {
	return info.NumIssuedSlots() >= s.always && s.load.High(s.reportMax)
}

// isReport reports whether an API method reports the progress of work to the server.
func isReport(method string) bool {
	switch method {
	case "/temporal.api.workflowservice.v1.WorkflowService/RecordActivityTaskHeartbeat",
		"/temporal.api.workflowservice.v1.WorkflowService/RespondActivityTaskCompleted",
		"/temporal.api.workflowservice.v1.WorkflowService/RespondWorkflowTaskCompleted":
		return true
	}
	return false
}

// measureReports configures a connection to measure how long the server takes to answer reports.
func measureReports(o *client.ConnectionOptions, m *load.Monitor) {
	o.DialOptions = append(o.DialOptions, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			if isReport(method) {
				defer m.Report()()
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}))
}

package app

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"

	"github.com/hookturn/hookturn/internal/load"
)

// A worker takes no more than it can serve: what it has begun must be reported to the server every few seconds, or the
// server gives it to another worker, which makes an overload worse. What does not fit waits at the server.

const (
	// tasksAlways and activitiesAlways are how many workflow tasks and activities a worker takes on at any load, with polls.
	tasksAlways      = 64
	activitiesAlways = 32
	// recheck is how often a worker that is overloaded looks again.
	recheck = 20 * time.Millisecond
)

// slots is how many workflow tasks, or activities, a worker runs at most at a time: they wait for endpoints, so the number
// is bounded by memory, not by cores.
func slots() int { return 1000 * max(2, runtime.GOMAXPROCS(0)) }

// tuner returns the slots of a worker whose load is measured. Local activities are not held back: they are part of a
// workflow task that has begun.
func tuner(m *load.Monitor) (worker.WorkerTuner, error) {
	tasks, err := newSupplier(m, tasksAlways, slots())
	if err != nil {
		return nil, err
	}
	acts, err := newSupplier(m, activitiesAlways, slots())
	if err != nil {
		return nil, err
	}
	local, err := worker.NewFixedSizeSlotSupplier(slots())
	if err != nil {
		return nil, fmt.Errorf("make slots: %w", err)
	}
	one, err := worker.NewFixedSizeSlotSupplier(1) // of what hookturn does not use
	if err != nil {
		return nil, fmt.Errorf("make slots: %w", err)
	}
	return worker.NewCompositeTuner(worker.CompositeTunerOptions{
		WorkflowSlotSupplier: tasks, ActivitySlotSupplier: acts, LocalActivitySlotSupplier: local,
		NexusSlotSupplier: one, SessionActivitySlotSupplier: one,
	})
}

// supplier gives out slots up to a number, and above a smaller one only while the load is not high.
type supplier struct {
	worker.SlotSupplier

	load   *load.Monitor
	always int
}

func newSupplier(m *load.Monitor, always, most int) (*supplier, error) {
	fixed, err := worker.NewFixedSizeSlotSupplier(most)
	if err != nil {
		return nil, fmt.Errorf("make slots: %w", err)
	}
	return &supplier{SlotSupplier: fixed, load: m, always: always}, nil
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

func (s *supplier) full(info worker.SlotReservationInfo) bool {
	return info.NumIssuedSlots() >= s.always && s.load.High()
}

// isReport reports whether a call is one by which a worker tells the server how its work goes.
func isReport(method string) bool {
	switch method {
	case "/temporal.api.workflowservice.v1.WorkflowService/RecordActivityTaskHeartbeat",
		"/temporal.api.workflowservice.v1.WorkflowService/RespondActivityTaskCompleted",
		"/temporal.api.workflowservice.v1.WorkflowService/RespondWorkflowTaskCompleted":
		return true
	}
	return false
}

// measureReports makes a connection tell a monitor how long the server takes.
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

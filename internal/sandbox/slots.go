package sandbox

import (
	"context"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// slots limit how many scripts run at a time. One tenant gets half of them at most. The number of its waiting scripts is
// limited too, because each holds an activity slot of the worker, which all tenants share.
type slots struct {
	wait time.Duration // how long a job waits for a slot
	all  chan struct{}

	mu      sync.Mutex
	tenants map[string]*tenantShare
}

// tenantShare holds the slots of one tenant, and the number of its scripts that run or wait.
type tenantShare struct {
	slots chan struct{}
	users int
}

// waitingPerSlot is the maximum of a tenant's running and waiting scripts for each of its slots.
const waitingPerSlot = 32

func newSlots(count int, wait time.Duration) *slots {
	return &slots{wait: wait, all: make(chan struct{}, count), tenants: map[string]*tenantShare{}}
}

// enter waits for a slot of the tenant and for a slot of the worker.
func (s *slots) enter(ctx context.Context, tenant string) (leave func(), f *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	share, done := s.share(tenant)
	if share == nil {
		return nil, fault.New(fault.SandboxUnavailable, "too many scripts of the tenant wait for a sandbox: try again later")
	}
	select {
	case share <- struct{}{}:
	case <-ctx.Done():
		done()
		return nil, fault.New(fault.SandboxUnavailable, "all %d slots of the tenant are in use", cap(share))
	}
	select {
	case s.all <- struct{}{}:
		return func() { <-s.all; <-share; done() }, nil
	case <-ctx.Done():
		<-share
		done()
		return nil, fault.New(fault.SandboxUnavailable, "all %d sandboxes are in use", cap(s.all))
	}
}

// share returns the slots of a tenant, or nil when too many scripts wait for them. Call done when the script has ended.
func (s *slots) share(tenant string) (slots chan struct{}, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tenants[tenant]
	if !known {
		t = &tenantShare{slots: make(chan struct{}, max(1, cap(s.all)/2))}
		s.tenants[tenant] = t
	}
	if t.users >= waitingPerSlot*cap(t.slots) {
		return nil, nil
	}
	t.users++
	return t.slots, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.tenants, tenant)
		}
	}
}

// used returns the scripts that run or wait as a share of the slots, at most 1.
func (s *slots) used() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := 0
	for _, t := range s.tenants {
		users += t.users
	}
	return min(1, float64(users)/float64(cap(s.all)))
}

// free reports whether a script of the tenant would run at once. Scripts that wait for the share of their own tenant take
// nothing from the others.
func (s *slots) free(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := 0
	for _, t := range s.tenants {
		taken += min(t.users, cap(t.slots))
	}
	t, known := s.tenants[tenant]
	return taken < cap(s.all) && (!known || t.users < cap(t.slots))
}

// alone reports whether at most one script of the tenant runs or waits.
func (s *slots) alone(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tenants[tenant]
	return !known || t.users <= 1
}

// Slot is a slot that a job waited for before Run.
type Slot struct {
	mu    sync.Mutex
	leave func() // nil: it is a job's now, or free
}

// NewSlot returns a slot that leave frees.
func NewSlot(leave func()) *Slot { return &Slot{leave: leave} }

// Reserve waits for a slot for a job, until ctx ends or for 10 s; a fault is sandbox_unavailable. Release frees the slot
// when the job does not run.
func (s *Sandbox) Reserve(ctx context.Context, j Job) (*Slot, *fault.Fault) {
	leave, f := s.enter(ctx, j)
	if f != nil {
		return nil, f
	}
	return NewSlot(leave), nil
}

// Release frees the slot unless a job has taken it. A nil Slot is not an error.
func (r *Slot) Release() {
	if leave := r.take(); leave != nil {
		leave()
	}
}

// take returns the function that frees the slot, to one caller only.
func (r *Slot) take() (leave func()) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	leave, r.leave = r.leave, nil
	return leave
}

package sandbox

import (
	"context"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// slots are how many scripts may run at a time. One tenant has half of them at most, and only so many of its scripts
// may wait: a script that waits holds a place of the process's activities, which are for all tenants.
type slots struct {
	all chan struct{}

	mu      sync.Mutex
	tenants map[string]*tenantShare
}

// tenantShare is the slots of one tenant, and how many scripts have or await one.
type tenantShare struct {
	slots chan struct{}
	users int
}

// waitingPerSlot is how many scripts of a tenant may be there for each of its slots, those that run included.
const waitingPerSlot = 32

// enterTimeout is how long a job waits for its turn.
const enterTimeout = 10 * time.Second

func newSlots(count int) *slots {
	return &slots{all: make(chan struct{}, count), tenants: map[string]*tenantShare{}}
}

// enter waits for a slot of the tenant's share and of all.
func (s *slots) enter(ctx context.Context, tenant string) (leave func(), f *fault.Fault) {
	ctx, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	share, done := s.share(tenant)
	if share == nil {
		return nil, fault.New(fault.SandboxUnavailable, "too many scripts of the tenant wait for a sandbox")
	}
	select {
	case share <- struct{}{}:
	case <-ctx.Done():
		done()
		return nil, fault.New(fault.SandboxUnavailable, "%d scripts of the tenant run already", cap(share))
	}
	select {
	case s.all <- struct{}{}:
		return func() { <-s.all; <-share; done() }, nil
	case <-ctx.Done():
		<-share
		done()
		return nil, fault.New(fault.SandboxUnavailable, "all %d sandboxes are busy", cap(s.all))
	}
}

// share returns a tenant's slots; done gives them back to be forgotten. No slots: too many wait for them.
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

// alone reports whether a tenant has no more than one script that has or awaits a slot.
func (s *slots) alone(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tenants[tenant]
	return !known || t.users <= 1
}

package jq

import (
	"context"
	"sync"
)

// shares limit one tenant to half of the processes of a pool, and limit the number of its waiting runs.
type shares struct {
	each    int
	mu      sync.Mutex
	tenants map[string]*share
}

type share struct {
	slots chan struct{}
	users int // runs that have a slot or wait for one
}

// waitingMax is the maximum of a tenant's runs at a time, waiting ones included. A waiting run holds an activity slot of the
// worker.
const waitingMax = 64

func newShares(processes int) *shares {
	return &shares{each: max(1, processes/2), tenants: map[string]*share{}}
}

// acquire waits for a slot of the tenant until ctx ends. It fails at once when too many runs wait already.
func (s *shares) acquire(ctx context.Context, tenant string) (release func(), ok bool) {
	t := s.enter(tenant)
	if t == nil {
		return nil, false
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots; s.leave(tenant) }, true
	case <-ctx.Done():
		s.leave(tenant)
		return nil, false
	}
}

func (s *shares) enter(tenant string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tenants[tenant]
	if !known {
		t = &share{slots: make(chan struct{}, s.each)}
		s.tenants[tenant] = t
	}
	if t.users >= waitingMax {
		return nil
	}
	t.users++
	return t
}

func (s *shares) leave(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenant]; t.users > 1 {
		t.users--
		return
	}
	delete(s.tenants, tenant)
}

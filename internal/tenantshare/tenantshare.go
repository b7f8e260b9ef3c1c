// Package tenantshare counts what each tenant uses of something that all share, so that one tenant does not use all of it.
package tenantshare

import "sync"

// Shares counts the places that each tenant has taken. The zero value is ready; it is safe for concurrent use.
type Shares struct {
	mu    sync.Mutex
	taken map[string]int
}

// Take takes one of at most limit places of a tenant; release, which must be called once, returns it. ok is false when the
// tenant has taken all of them.
func (s *Shares) Take(tenant string, limit int) (release func(), ok bool) {
	return s.TakeMany(tenant, 1, limit)
}

// TakeMany is Take for several places, all or none of them.
func (s *Shares) TakeMany(tenant string, places, limit int) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[tenant]+places > limit {
		return nil, false
	}
	if s.taken == nil {
		s.taken = map[string]int{}
	}
	s.taken[tenant] += places
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.taken[tenant] -= places; s.taken[tenant] == 0 {
			delete(s.taken, tenant)
		}
	}, true
}

// Len returns the number of tenants that have taken a place. Nothing is kept for the others.
func (s *Shares) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

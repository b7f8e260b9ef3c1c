package eventreader

import (
	"container/list"
	"sync"
	"time"
)

const (
	// spareFactor bounds a tenant's slots: it may use at most this many times the slots that are free. One busy tenant gets
	// four fifths of all slots, two get four ninths each, and some are always left for the next tenant that has work.
	spareFactor = 4
	// loadWindow is the time over which a tenant's overloaded calls are compared with those that succeeded.
	loadWindow = time.Second
	// overloadMin is the number of overloaded calls in a loadWindow below which they are not taken for an overload: a few
	// conversations that do not get on by themselves must not slow down the others of their tenant.
	overloadMin = 4
	// floorShare: a tenant keeps one slot of this many, at least one.
	floorShare = 32
)

// scheduler decides which conversation may call the handler next. Tenants share the slots and the memory for event bodies
// by dynamic thresholds (see spareFactor): a tenant's first call needs one free slot, each further one that the tenant uses
// no more than spareFactor times what stays free. The tenant with the fewest calls goes first. Within a tenant,
// conversations take turns.
//
// A tenant with more overloaded than successful calls gets fewer slots: half after each loadWindow, down to a floor, and
// one more each time that a whole round of its slots succeeded. That bounds the requests to an overloaded server. A call
// that succeeded slowly counts as overloaded: the server has a queue, in which other tenants would wait as well.
type scheduler struct {
	slots int           // calls at a time
	bytes int64         // of event bodies in running calls
	slow  time.Duration // a call that took longer was slow; 0: none is

	mu      sync.Mutex
	tenants map[string]*tenantSlots // those with waiting or running calls, and those with reduced slots
	running int
	used    int64  // bytes of running calls
	turn    uint64 // counts grants
}

type tenantSlots struct {
	name    string
	ready   list.List // of *task
	running int
	used    int64
	limit   float64   // slots that this tenant may use at most
	reduced time.Time // when the limit was halved last
	window  time.Time // begin of the current loadWindow
	failed  int       // calls that failed by overload in it, or were slow
	passed  int       // calls that succeeded in it
	turn    uint64    // of the latest grant
}

// task is one conversation that waits for a slot.
type task struct {
	tenant string
	size   int64  // upper bound of the event's size
	run    func() // called in a goroutine of its own; must call scheduler.release once
}

func newScheduler(slots int, bytes int64, slow time.Duration) *scheduler {
	return &scheduler{slots: slots, bytes: bytes, slow: slow, tenants: map[string]*tenantSlots{}}
}

// enqueue puts a task at the end of its tenant's queue.
func (s *scheduler) enqueue(k *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[k.tenant]
	if t == nil {
		t = &tenantSlots{name: k.tenant, limit: float64(s.slots)}
		s.tenants[k.tenant] = t
	}
	t.ready.PushBack(k)
	s.dispatch()
}

// release frees the slot of a task whose call has ended.
func (s *scheduler) release(k *task, o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[k.tenant]
	s.adapt(t, o)
	t.running--
	t.used -= k.size
	s.running--
	s.used -= k.size
	if t.running == 0 && t.ready.Len() == 0 && t.limit >= float64(s.slots) {
		delete(s.tenants, t.name)
	}
	s.dispatch()
}

// adapt changes the number of slots that a tenant may use by the outcome of one of its calls.
func (s *scheduler) adapt(t *tenantSlots, o Outcome) {
	slow := s.slow > 0 && o.action == actionAck && o.ended.Sub(o.began) > s.slow
	switch {
	case o.full: // the server was not asked
	case slow && o.began.Before(t.reduced): // it waited behind the calls that were too many
	case o.overload, slow:
		t.failed++
	case o.action != actionRetry:
		t.passed++
		t.limit = min(float64(s.slots), t.limit+1/t.limit)
	}
	if time.Since(t.window) < loadWindow {
		return
	}
	if t.failed > t.passed && t.failed >= overloadMin {
		t.limit = max(1, float64(s.slots)/floorShare, min(t.limit, float64(t.running))/2)
		t.reduced = time.Now()
	}
	t.window, t.failed, t.passed = time.Now(), 0, 0
}

// dispatch starts tasks until none may start.
func (s *scheduler) dispatch() {
	for s.running < s.slots {
		t := s.next()
		if t == nil {
			return
		}
		front := t.ready.Front()
		k, ok := t.ready.Remove(front).(*task)
		if !ok {
			continue
		}
		s.turn++
		t.turn = s.turn
		t.running++
		t.used += k.size
		s.running++
		s.used += k.size
		go k.run()
	}
}

// next returns the tenant that starts a task next, nil when none may.
func (s *scheduler) next() *tenantSlots {
	var best *tenantSlots
	for _, t := range s.tenants {
		if t.ready.Len() == 0 || !s.mayRun(t) {
			continue
		}
		if best == nil || t.running < best.running || t.running == best.running && t.turn < best.turn {
			best = t
		}
	}
	return best
}

func (s *scheduler) mayRun(t *tenantSlots) bool {
	k, ok := t.ready.Front().Value.(*task)
	if !ok || s.running == 0 {
		return ok
	}
	left := s.bytes - s.used - k.size
	if left < 0 {
		return false
	}
	if t.running == 0 {
		return true
	}
	return float64(t.running) < t.limit && t.running < spareFactor*(s.slots-s.running) && t.used+k.size <= spareFactor*left
}

// TenantStats are the figures of one tenant in one reader.
type TenantStats struct {
	Running int // calls of the handler
	Waiting int // conversations that wait for a slot
	Limit   int // slots that the tenant may use at most; below the reader's when calls failed by overload
}

func (s *scheduler) stats() map[string]TenantStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]TenantStats, len(s.tenants))
	for name, t := range s.tenants {
		all[name] = TenantStats{Running: t.running, Waiting: t.ready.Len(), Limit: int(t.limit)}
	}
	return all
}

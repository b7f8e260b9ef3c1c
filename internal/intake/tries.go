package intake

import (
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
)

const (
	// triesKept bounds the events whose tries are remembered before old ones are dropped, triesFor how long one is kept.
	triesKept = 10_000
	triesFor  = time.Hour
	// dropEvery is the shortest time between two looks for old ones. In an outage there are none, and as many events as wait
	// are remembered: each look costs as many steps, while all other events wait for the lock.
	dropEvery = time.Minute
)

// tried is how often an event was tried.
type tried struct {
	dispatch.Tries

	last time.Time
}

// tries remembers the events of this process that were not accepted at once. The zero value is ready.
type tries struct {
	mu      sync.Mutex
	all     map[eventreader.StoredID]tried
	dropped time.Time // when old ones were looked for
}

func (t *tries) of(m *eventreader.Message) dispatch.Tries {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[m.StoredID()].Tries
}

// failed records a try that failed for a reason.
func (t *tries) failed(m *eventreader.Message, reason error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[eventreader.StoredID]tried{}
	}
	at := m.StoredID()
	e := t.all[at]
	if e.Count == 0 {
		t.drop(now)
	}
	e.Tries, e.last = e.Failed(reason, now), now
	t.all[at] = e
}

func (t *tries) forget(m *eventreader.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, m.StoredID())
}

// drop forgets events that went to another reader.
func (t *tries) drop(now time.Time) {
	if len(t.all) < triesKept || now.Sub(t.dropped) < dropEvery {
		return
	}
	t.dropped = now
	for at, e := range t.all {
		if now.Sub(e.last) > triesFor {
			delete(t.all, at)
		}
	}
}

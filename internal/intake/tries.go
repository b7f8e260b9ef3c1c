package intake

import (
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/eventreader"
)

const (
	// triesKept bounds the events whose tries are remembered before old ones are dropped, triesFor how long one is kept.
	triesKept = 10_000
	triesFor  = time.Hour
)

// tried is how often an event was tried, and when.
type tried struct {
	first, last time.Time
	count       int
}

// stored names a message. The sequences of a stream that was created again, or restored from a backup, come again.
type stored struct {
	sequence uint64
	received int64 // when it was stored
}

func storedOf(m *eventreader.Message) stored { return stored{m.Sequence, m.Received.UnixNano()} }

// tries remembers the events of this process that were not accepted at once. The zero value is ready.
type tries struct {
	mu  sync.Mutex
	all map[stored]tried
}

func (t *tries) of(m *eventreader.Message) tried {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[storedOf(m)]
}

func (t *tries) failed(m *eventreader.Message, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[stored]tried{}
	}
	at := storedOf(m)
	e := t.all[at]
	if e.count == 0 {
		t.drop(now)
		e.first = now
	}
	e.count++
	e.last = now
	t.all[at] = e
}

func (t *tries) forget(m *eventreader.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, storedOf(m))
}

// drop forgets events that went to another reader.
func (t *tries) drop(now time.Time) {
	if len(t.all) < triesKept {
		return
	}
	for at, e := range t.all {
		if now.Sub(e.last) > triesFor {
			delete(t.all, at)
		}
	}
}

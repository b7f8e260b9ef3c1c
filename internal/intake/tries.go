package intake

import (
	"sync"
	"time"
)

const (
	// triesKept bounds the events whose tries are remembered before old ones are dropped, triesFor how long one is kept.
	triesKept = 10_000
	triesFor  = time.Hour
)

// tried is what was tried with an event before.
type tried struct {
	first, last time.Time
	count       int
	stored      time.Time // when the event was, at the earliest; the zero time when that is not known
	again       bool      // the engine may have published the event before
	redelivered bool      // the event comes from another delivery or reader than an earlier one
	repeated    bool      // the event may have been accepted before: by an earlier try, or from another reader
}

// tries remembers the events of this process that were not accepted at once, by their sequence. The zero value is ready.
type tries struct {
	mu  sync.Mutex
	all map[uint64]tried
}

func (t *tries) of(sequence uint64) tried {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[sequence]
}

func (t *tries) failed(sequence uint64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[uint64]tried{}
	}
	e := t.all[sequence]
	if e.count == 0 {
		t.drop(now)
		e.first = now
	}
	e.count++
	e.last = now
	t.all[sequence] = e
}

func (t *tries) forget(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, sequence)
}

// drop forgets events that went to another reader.
func (t *tries) drop(now time.Time) {
	if len(t.all) < triesKept {
		return
	}
	for sequence, e := range t.all {
		if now.Sub(e.last) > triesFor {
			delete(t.all, sequence)
		}
	}
}

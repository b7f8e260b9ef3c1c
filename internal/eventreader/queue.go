package eventreader

import (
	"slices"

	"github.com/cenkalti/backoff/v4"
)

// conversationQueue is one conversation with events to handle. It holds positions in the stream and not the events: only
// the event that is handled, and for a queue that was empty the first one, are in memory. The others are read from the
// stream when their turn comes. A queue exists only while it has events.
//
// The partition's mu guards it.
type conversationQueue struct {
	subject string // as stored
	tenant  string

	done    uint64       // the events up to this sequence were handled
	upTo    uint64       // the events up to this sequence are known; those above done wait
	again   []againEvent // handled events that JetStream delivered again, ascending; they go first
	handled uint64       // the last of all that were in again: the stream may still have it when it was handled once more
	current StoredID     // the event that is being handled, the zero value for none
	waiting int          // number of events in the queue
	largest int64        // size of the largest one
	bytes   int64        // of all of them in the stream

	kept    *Message // the first event, when there was memory for it
	retries *backoff.ExponentialBackOff
	tried   []StoredID // the events that were tried and are not handled: one, and some of again
	panics  int
}

// againEvent is an event that JetStream delivered again after it was handled.
type againEvent struct {
	StoredID

	bytes int64 // in the stream
}

// has reports whether an event is in the queue or being handled. A position is that of the event which the stream has there
// when its turn comes, unless one is in memory.
func (q *conversationQueue) has(id StoredID) bool {
	if _, found := q.findAgain(id); found || id == q.current {
		return true
	}
	if q.kept != nil && q.kept.Sequence == id.Sequence {
		return q.kept.StoredID() == id
	}
	return id.Sequence > q.done && id.Sequence <= q.upTo && id.Sequence != q.current.Sequence
}

// findAgain returns where an event is in again, or where it would be.
func (q *conversationQueue) findAgain(id StoredID) (at int, found bool) {
	return slices.BinarySearchFunc(q.again, id, func(e againEvent, id StoredID) int { return e.compare(id) })
}

// add puts an event that is newer than every other one at the end.
func (q *conversationQueue) add(m *Message) {
	q.upTo = m.Sequence
	q.waiting++
	q.largest = max(q.largest, m.size())
	q.bytes += m.space()
}

// addAgain puts an event first that JetStream delivered again after it was handled.
func (q *conversationQueue) addAgain(m *Message) {
	at, found := q.findAgain(m.StoredID())
	if found {
		return
	}
	q.again = slices.Insert(q.again, at, againEvent{m.StoredID(), m.space()})
	q.handled = max(q.handled, m.Sequence)
	q.waiting++
	q.largest = max(q.largest, m.size())
	q.bytes += m.space()
}

// finish marks the current event, which takes bytes in the stream, as handled.
func (q *conversationQueue) finish(bytes int64) {
	if at, found := q.findAgain(q.current); found {
		q.again = slices.Delete(q.again, at, at+1)
	} else {
		q.done = max(q.done, q.current.Sequence)
	}
	q.waiting = max(0, q.waiting-1)
	q.bytes = max(0, q.bytes-bytes)
	q.tried = slices.DeleteFunc(q.tried, func(id StoredID) bool { return id == q.current })
	q.current, q.panics = StoredID{}, 0
	q.recount()
}

// removed drops an event of again that the stream does not have any more.
func (q *conversationQueue) removed(id StoredID) {
	at, found := q.findAgain(id)
	if !found {
		return
	}
	q.waiting = max(0, q.waiting-1)
	q.bytes = max(0, q.bytes-q.again[at].bytes)
	q.again = slices.Delete(q.again, at, at+1)
	q.tried = slices.DeleteFunc(q.tried, func(other StoredID) bool { return other == id })
	q.recount()
}

// recount counts what waits when that is again alone: of the events before, some may have been removed from the stream.
func (q *conversationQueue) recount() {
	if q.done < q.upTo {
		return
	}
	q.waiting, q.bytes = len(q.again), 0
	for _, e := range q.again {
		q.bytes += e.bytes
	}
}

// empty reports whether every known event was handled.
func (q *conversationQueue) empty() bool { return q.done >= q.upTo && len(q.again) == 0 }

// backlog is the part of a partition that belongs to one tenant. While the tenant has as many conversations in memory as
// it may have, its new events are parked: they stay in the stream, and are read from there in stream order when
// conversations have ended.
type backlog struct {
	conversations int    // queues of this tenant
	parked        bool   // events above read are not in queues
	read          uint64 // the events up to this sequence were put into queues
	upTo          uint64 // the parked events up to this sequence are known
	bytes         int64  // of the parked events in the stream
	reading       bool   // a goroutine reads parked events
}

// admit puts a new event into the queue of its conversation, or parks it. Events come in ascending sequence.
func (p *partition) admit(m *Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return // the next reader finds it
	}
	b := p.backlogs[m.tenant]
	if b == nil {
		b = &backlog{}
		p.backlogs[m.tenant] = b
	}
	full := b.conversations >= p.r.options.MaxConversations && p.queues[m.stored] == nil
	if !b.parked && !full {
		p.enqueue(b, m)
		return
	}
	if !b.parked {
		b.parked, b.read = true, m.Sequence-1
	}
	b.upTo = m.Sequence
	b.bytes += m.space()
}

// enqueue puts an event into the queue of its conversation. The caller holds mu.
func (p *partition) enqueue(b *backlog, m *Message) {
	fresh := p.queues[m.stored] == nil
	q := p.queueOf(b, m)
	q.add(m)
	if fresh {
		p.keep(q, m)
		p.schedule(q)
	}
}

// queueOf returns the queue of an event's conversation, a new one when there is none. The caller holds mu.
func (p *partition) queueOf(b *backlog, m *Message) *conversationQueue {
	q := p.queues[m.stored]
	if q == nil {
		q = &conversationQueue{subject: m.stored, tenant: m.tenant, done: m.Sequence - 1, upTo: m.Sequence - 1}
		p.queues[m.stored] = q
		b.conversations++
	}
	return q
}

// handleAgain puts an event that JetStream delivered again, and that is neither queued nor being handled, into the queue of
// its conversation: the acknowledgement was lost, or the event was never handled. The handler recognizes it in the first
// case. The caller holds mu.
func (p *partition) handleAgain(m *Message) {
	b := p.backlogs[m.tenant]
	if b == nil {
		b = &backlog{}
		p.backlogs[m.tenant] = b
	}
	q := p.queues[m.stored]
	fresh := q == nil
	if fresh {
		q = p.queueOf(b, m)
		q.done = m.Sequence
	}
	q.addAgain(m)
	if fresh {
		p.schedule(q)
	}
}

// keep holds the body of the first event of a queue when there is memory for it. The caller holds mu.
func (p *partition) keep(q *conversationQueue, m *Message) {
	if p.r.kept.add(m.size()) {
		q.kept = m
	}
}

// unkeep drops the body that a queue keeps and gives its memory back. The caller holds mu.
func (p *partition) unkeep(q *conversationQueue) {
	if q.kept != nil {
		p.r.kept.remove(q.kept.size())
		q.kept = nil
	}
}

// next schedules the queue for its next event, or removes it when there is none. The caller holds mu.
func (p *partition) next(q *conversationQueue) {
	if q.retries != nil {
		q.retries = nil
		p.retrying--
	}
	if !q.empty() {
		p.schedule(q)
		return
	}
	delete(p.queues, q.subject)
	b := p.backlogs[q.tenant]
	b.conversations--
	switch {
	case b.parked && !b.reading && !p.closing:
		b.reading = true
		p.tasks.Go(func() { p.readParked(q.tenant, b) })
	case b.conversations == 0 && !b.parked:
		delete(p.backlogs, q.tenant)
	}
}

package eventreader

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// The stream of events has one bound for all tenants, and an engine on NATS publishes into it without asking a gateway. What
// a tenant has there waits for its bots: paused, slow, or more than they can do. When it fills the stream, JetStream rejects
// the events of all. So the readers keep a quarter of the stream free: while there is less, events of the tenants that hold
// most are answered without their turn (Options.Full). Those are the events whose turn comes next, so that a conversation's
// events are answered in their order, whatever becomes of each.
//
// A reader knows the bytes of each tenant in its own partitions. It frees its part of what is to be freed, from its largest
// tenants, and nothing of a tenant that holds less than a quarter of the stream, divided by the number of readers.
const (
	// roomEvery is how often a reader looks how full the stream is, roomEveryFull how often while it is half full.
	roomEvery     = time.Second
	roomEveryFull = 200 * time.Millisecond

	freeShare  = 4 // one part of so many is kept free
	smallShare = 4 // a tenant that holds less than one part of so many is left alone
	// recordBytes is about what JetStream needs for a message beside its subject, header and data.
	recordBytes = 48
)

// space is about what an event takes in the stream, in bytes.
func (m *Message) space() int64 { return m.wire + recordBytes }

// excess is what tenants hold too much, in bytes.
type excess struct {
	mu sync.Mutex
	of map[string]int64 // by tenant
}

// set replaces what is known.
func (e *excess) set(of map[string]int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of = of
}

// take reports whether an event of a tenant is to be answered without its turn, and counts it.
func (e *excess) take(m *Message) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of[m.tenant] <= 0 {
		return false
	}
	e.of[m.tenant] -= m.space()
	return true
}

// watchRoom looks how full the stream is, until ctx ends.
func (r *Reader) watchRoom(ctx context.Context) {
	for {
		timer := time.NewTimer(r.readRoom(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// readRoom reads how full the stream is, decides what tenants hold too much, and returns how long to wait before the next
// time.
func (r *Reader) readRoom(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stored, err := r.streams.EventsStored(ctx)
	if err != nil {
		r.log.DebugContext(ctx, "reading the size of the event stream failed, will retry", "error", err)
		return roomEvery
	}
	r.backlog.Store(stored.Events)
	wanted := stored.Bytes - (stored.Most - stored.Most/freeShare)
	var of map[string]int64
	if r.options.Full != nil && stored.Most > 0 && wanted > 0 && (r.options.Tenants == nil || r.options.Tenants() > 1) {
		of = tooMuch(r.held(), stored.Bytes, wanted, stored.Most/smallShare/max(1, r.starters.Load()))
	}
	r.excess.set(maps.Clone(of))
	for tenant, bytes := range of {
		r.recall(tenant, bytes)
	}
	if stored.Most > 0 && stored.Bytes >= stored.Most/2 {
		return roomEveryFull
	}
	return roomEvery
}

// tooMuch returns how many bytes of each tenant are to be freed. held are those of this reader by tenant, used those of the
// whole stream, wanted what all readers are to free together, and small what a tenant holds at least that is not left alone.
// The largest tenants are reduced to one level.
func tooMuch(held map[string]int64, used, wanted, small int64) map[string]int64 {
	sizes := slices.SortedFunc(maps.Values(held), func(a, b int64) int { return cmp.Compare(b, a) })
	var sum int64
	for _, size := range sizes {
		sum += size
	}
	part := int64(float64(wanted) * min(1, float64(sum)/float64(max(1, used))))
	level, above := small, int64(0)
	for n, size := range sizes {
		if size <= small {
			break
		}
		above += size
		next := small
		if n+1 < len(sizes) {
			next = max(small, sizes[n+1])
		}
		if above-next*int64(n+1) >= part {
			level = (above - part) / int64(n+1)
			break
		}
	}
	of := map[string]int64{}
	for tenant, size := range held {
		if size > level {
			of[tenant] = size - level
		}
	}
	return of
}

// held returns the bytes of waiting events by tenant, in the partitions of this reader.
func (r *Reader) held() map[string]int64 {
	bytes := map[string]int64{}
	for _, p := range r.partitions() {
		p.mu.Lock()
		for _, q := range p.queues {
			bytes[q.tenant] += q.bytes
		}
		for tenant, b := range p.backlogs {
			bytes[tenant] += b.bytes
		}
		p.mu.Unlock()
	}
	return bytes
}

// partitions returns those that this reader reads now.
func (r *Reader) partitions() []*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []*partition
	for _, h := range r.assignments {
		if p := h.reading.Load(); p != nil {
			open = append(open, p)
		}
	}
	return open
}

// recall ends the wait of conversations of a tenant that hold so many bytes.
func (r *Reader) recall(tenant string, bytes int64) {
	for _, p := range r.partitions() {
		if bytes = p.recall(tenant, bytes); bytes <= 0 {
			return
		}
	}
}

// recall ends the wait of conversations of a tenant that hold so many bytes, and returns how many are left.
func (p *partition) recall(tenant string, bytes int64) (left int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for q, stop := range p.resting {
		if bytes <= 0 {
			break
		}
		if q.tenant == tenant && stop() {
			delete(p.resting, q)
			p.schedule(q)
			bytes -= q.bytes
		}
	}
	return bytes
}

// Package quota finds the tenants whose stored messages fill half of a stream that all share, so that the other half stays
// free for the others.
package quota

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
)

const (
	// shareFor is how long a count of stored messages is used.
	shareFor = 2 * time.Second
	// shareRest is how many times longer than it took a count is used at least: a count has an entry of each subject.
	shareRest = 10
	// shareWait is how long a write waits for a count when the one before is older than shareStale, or there is none.
	shareWait  = time.Second
	shareStale = time.Minute
	// shareTimeout bounds a count. What it has counted within countTimeout is a lower bound of what is stored.
	shareTimeout = 20 * time.Second
	countTimeout = 15 * time.Second
	// shareSamples is how many of a tenant's messages are read to estimate their size, with each count, and shareKept how
	// many sizes are kept of a tenant.
	shareSamples = 16
	shareKept    = 8 * shareSamples
)

// Quota finds the tenants whose stored messages fill their share of a stream. It is safe for concurrent use.
type Quota struct {
	stream   natsclient.Leader
	root     string                                                   // of its subjects; the tenant follows
	largest  uint64                                                   // more than a message can have, in bytes
	files    func(ctx context.Context, tenant string) (uint64, error) // nil: messages are counted
	counting chan struct{}                                            // held by a count: one tenant at a time
	countFor time.Duration                                            // countTimeout

	mu      sync.Mutex
	state   recent[streamStored]
	all     writeCount
	tenants map[string]*ofTenant
}

// ofTenant is what is known of a tenant while the stream is at least half full, or while it writes.
type ofTenant struct {
	writeCount

	writes int // under way
	stored recent[tenantStored]
}

// streamStored is what the stream holds.
type streamStored struct {
	bytes       uint64
	most        uint64 // bytes of a share; 0: unbounded
	first, last uint64 // sequences
	ended       uint64 // of writeCount, when it was read
}

// tenantStored is what a tenant has in the stream.
type tenantStored struct {
	bytes uint64
	sizes []uint64 // of the latest samples
	ended uint64   // of writeCount, when it was counted
}

// New returns the Quota of a stream whose subjects begin with root and the tenant. largest is more than one of its messages
// can have, in bytes.
func New(js jetstream.JetStream, stream, root string, largest int) *Quota {
	return &Quota{
		stream: natsclient.LeaderOf(js, stream), root: root, largest: uint64(largest),
		counting: make(chan struct{}, 1), countFor: countTimeout, tenants: map[string]*ofTenant{},
	}
}

// OfFiles returns the Quota of an object store, whose names begin with the tenant and a slash.
func OfFiles(js jetstream.JetStream, bucket string) *Quota {
	q := New(js, "OBJ_"+bucket, "", 0)
	q.files = func(ctx context.Context, tenant string) (uint64, error) { return sizeOfFiles(ctx, js, bucket, tenant) }
	return q
}

// Exceeded reports whether a tenant's stored messages fill its share. While the stream is less than half full, which one
// request every two seconds shows, the tenant is not asked for. Counts are made in the background, so that a client that
// disconnects does not end one; meanwhile the count before is valid, and what this process has written since. So it is
// when a count fails, whose error is returned once. Without a count the share is not exceeded.
func (q *Quota) Exceeded(ctx context.Context, tenant string) (bool, error) {
	state, err := ask(ctx, q, &q.state, nil, q.readStream)
	if err != nil || !q.half(state) {
		return false, err
	}
	q.mu.Lock()
	of := q.of(tenant)
	q.mu.Unlock()
	stored, err := ask(ctx, q, &of.stored, q.counting, func(ctx context.Context, before tenantStored) (tenantStored, error) {
		return q.countTenant(ctx, tenant, of, state, before)
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	return !of.stored.until.IsZero() && stored.bytes+of.since(stored.ended) >= state.most, err
}

// half reports whether all together fill a share, so that one tenant may.
func (q *Quota) half(state streamStored) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return state.most > 0 && state.bytes+q.all.since(state.ended) >= state.most
}

// of returns what is known of a tenant, under the lock.
func (q *Quota) of(tenant string) *ofTenant {
	of := q.tenants[tenant]
	if of == nil {
		of = &ofTenant{}
		q.tenants[tenant] = of
	}
	return of
}

// recent is a value that is read again when it is old.
type recent[T any] struct {
	value   T
	err     error // of the latest reading, until it is returned
	until   time.Time
	reading chan struct{} // closed when the reading ends; nil: none
}

// ask returns a recent value. One goroutine reads it at a time, for all that ask meanwhile, and takes its turn with those
// that read other values; nil: it does not.
func ask[T any](
	ctx context.Context, q *Quota, r *recent[T], turn chan struct{}, read func(ctx context.Context, before T) (T, error),
) (T, error) {
	q.mu.Lock()
	if r.reading == nil && !time.Now().Before(r.until) {
		r.reading = make(chan struct{})
		go refresh(q, r, turn, read)
	}
	reading, stale := r.reading, time.Since(r.until) > shareStale
	q.mu.Unlock()
	if reading != nil && stale {
		wait := time.NewTimer(shareWait)
		defer wait.Stop()
		select {
		case <-reading:
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	err := r.err
	r.err = nil
	return r.value, err
}

// refresh reads a value. Waiting for its turn, which each reading before it ends within shareTimeout, is not part of the
// time that it takes.
func refresh[T any](
	q *Quota, r *recent[T], turn chan struct{}, read func(ctx context.Context, before T) (T, error),
) {
	if turn != nil {
		turn <- struct{}{}
		defer func() { <-turn }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shareTimeout)
	defer cancel()
	q.mu.Lock()
	before := r.value
	q.mu.Unlock()
	began := time.Now()
	value, err := read(ctx, before)
	took := time.Since(began)
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.err = err; err == nil {
		r.value = value
	}
	r.until = time.Now().Add(max(shareFor, shareRest*took))
	close(r.reading)
	r.reading = nil
}

// readStream returns what the stream holds.
func (q *Quota) readStream(ctx context.Context, _ streamStored) (streamStored, error) {
	q.mu.Lock()
	stored := streamStored{ended: q.all.ended}
	q.mu.Unlock()
	info, err := q.stream.Info(ctx, "", 0)
	if err != nil {
		return streamStored{}, fmt.Errorf("read the state of stream %s: %w", q.stream.Stream(), err)
	}
	stored.bytes, stored.first, stored.last = info.State.Bytes, info.State.FirstSeq, info.State.LastSeq
	if info.Config.MaxBytes > 0 {
		stored.most = uint64(info.Config.MaxBytes) / 2 // half of it, as of every shared pool
	}
	if !q.half(stored) {
		q.mu.Lock()
		for tenant, of := range q.tenants {
			if of.writes == 0 {
				delete(q.tenants, tenant)
			}
		}
		q.mu.Unlock()
	}
	return stored, nil
}

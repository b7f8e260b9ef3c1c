package eventreader

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// lease is the right to read one partition: a key in the starters' bucket that expires when it is not refreshed.
// Its ctx ends when the lease is lost, well before another starter can acquire it, so that everything that runs under that
// context has stopped by then. The pin of the JetStream consumer is a second fence.
type lease struct {
	ctx    context.Context
	lose   context.CancelFunc
	bucket jetstream.KeyValue
	log    jetstream.Stream
	key    string
	owner  string
	ttl    time.Duration

	revision uint64        // of the key; touched only by acquireLease, then by keep, then by release
	until    atomic.Int64  // end of the right, on the clock of sinceStart
	early    chan struct{} // has a value when the next refresh is due now
	stopped  chan struct{} // keep has returned
}

// started is the origin of a monotonic clock that continues while the process is stopped.
var started = time.Now()

func sinceStart() int64 { return int64(time.Since(started)) }

// leaseKey returns the key of a partition's lease. It contains a dot, which an instance id never contains.
func leaseKey(partition int) string { return fmt.Sprintf("partition.%d", partition) }

// acquireLease acquires the lease of a partition and keeps it until it is lost or released. It fails with
// jetstream.ErrKeyExists while another starter has it.
func acquireLease(ctx context.Context, s bus.Streams, partition int, owner string) (*lease, error) {
	l := &lease{
		bucket: s.Bucket(bus.BucketStarters), log: s.BucketLog(bus.BucketStarters), key: leaseKey(partition), owner: owner,
		ttl: s.StarterTTL(), early: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	sent := sinceStart()
	try, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()
	var err error
	if l.revision, err = l.bucket.Create(try, l.key, []byte(owner)); err != nil {
		return nil, err
	}
	l.extend(sent)
	l.ctx, l.lose = context.WithCancel(context.Background())
	go l.keep()
	return l, nil
}

// extend extends the lease from the time at which the request was sent; the last quarter of the TTL is for handlers to
// stop.
func (l *lease) extend(sent int64) { l.until.Store(sent + int64(l.ttl-l.ttl/4)) }

// valid reports whether the lease is held now. An expired lease is lost, even if a refresh would still succeed.
func (l *lease) valid() bool {
	if sinceStart() >= l.until.Load() {
		l.lose()
	}
	return l.ctx.Err() == nil
}

func (l *lease) keep() {
	defer close(l.stopped)
	wait := l.ttl / 3
	for {
		left := time.Duration(l.until.Load() - sinceStart())
		select {
		case <-l.ctx.Done():
			return
		case <-l.early:
		case <-time.After(min(wait, max(left, 0))):
		}
		if !l.valid() {
			return
		}
		switch err := l.refresh(); {
		case err == nil:
			wait = l.ttl / 3
		case errors.Is(err, errTaken):
			l.lose()
			return
		default:
			wait = l.ttl / 12
		}
	}
}

// refreshNow makes keep refresh the lease at once.
func (l *lease) refreshNow() {
	select {
	case l.early <- struct{}{}:
	default:
	}
}

var errTaken = errors.New("another starter has the lease")

func (l *lease) refresh() error {
	ctx, cancel := context.WithTimeout(l.ctx, l.ttl/4)
	defer cancel()
	sent := sinceStart()
	revision, err := l.bucket.Update(ctx, l.key, []byte(l.owner), l.revision)
	if err == nil {
		l.revision = revision
		l.extend(sent)
		return nil
	}
	if !natsclient.IsConflict(err) {
		return err
	}
	// A refresh whose response was lost is a conflict too: then the key still names this starter, with a newer revision.
	entry, err := l.bucket.Get(ctx, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return l.restore(ctx, sent)
	case err != nil:
		return err
	case string(entry.Value()) != l.owner:
		return errTaken
	}
	l.revision = entry.Revision()
	return errors.New("revision was out of date")
}

// restore stores the key of a lease that is held and whose key is gone: the bucket was lost, and the other starters wait
// before they acquire a lease in the new one.
func (l *lease) restore(ctx context.Context, sent int64) error {
	revision, err := l.bucket.Create(ctx, l.key, []byte(l.owner))
	switch {
	case natsclient.IsConflict(err):
		return errTaken
	case err != nil:
		return err
	}
	l.revision = revision
	l.extend(sent)
	return nil
}

// release releases the lease. It removes the key only while it names this starter, and in that revision, so that a late
// release does not remove the lease of the next holder. The revision of the latest refresh may be one of a lost bucket.
func (l *lease) release(ctx context.Context) error {
	l.lose()
	<-l.stopped
	entry, err := l.bucket.Get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && string(entry.Value()) != l.owner {
		return nil
	}
	if err != nil {
		return err
	}
	return removeKey(ctx, l.log, l.key, entry.Revision())
}

// removeKey removes a key of the starters' bucket up to a revision, without leaving a marker.
func removeKey(ctx context.Context, log jetstream.Stream, key string, revision uint64) error {
	return log.Purge(ctx, jetstream.WithPurgeSubject("$KV."+bus.BucketStarters+"."+key),
		jetstream.WithPurgeSequence(revision+1))
}

package store

import (
	"context"
	"maps"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// follower receives what happens to the keys of a bucket. The calls are sequential.
type follower struct {
	// begin is called before the stored entries are put: once, and again after a reconnection, when an entry was not
	// received, and when the bucket was created again, whose revisions begin again.
	begin func()
	put   func(entry jetstream.KeyValueEntry)
	// removed is called for a key that is not stored any more. The revision is 0 when it was missing after a begin.
	removed func(key string, revision uint64)
	ready   func() // called once, after the stored entries
}

// follow reports the entries of a bucket, then every change, until ctx ends.
func follow(ctx context.Context, s bus.Streams, bucket string, f follower) error {
	known, missing := map[string]bool{}, map[string]bool{} // missing: known, and not seen again since the begin
	ready := sync.OnceFunc(f.ready)
	return ignoreEnd(ctx, s.Watch(ctx, bucket, func() {
		f.begin()
		maps.Copy(missing, known)
	}, func(entry jetstream.KeyValueEntry) {
		if entry == nil { // the end of the stored entries
			for key := range missing {
				delete(known, key)
				f.removed(key, 0)
			}
			clear(missing)
			ready()
			return
		}
		delete(missing, entry.Key())
		if entry.Operation() == jetstream.KeyValuePut {
			known[entry.Key()] = true
			f.put(entry)
			return
		}
		delete(known, entry.Key())
		f.removed(entry.Key(), entry.Revision())
	}))
}

// ignoreEnd returns nil when the context has ended, else the error.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end that was asked for
	}
	return err
}

package eventreader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// freshBucket is what a reader knows of a bucket of starters that was created lately. When the bucket has vanished, or was
// set back by a restore, its keys do not show who holds a lease: holders count on theirs until three quarters of the TTL
// have passed. So no lease is acquired for one TTL, in which the holders store their keys again. The first bucket of an
// installation is fresh as well, but no partition was read before it existed: there is nothing to wait for.
type freshBucket struct {
	created time.Time // of the bucket at the latest look; the zero time = not looked at
	last    uint64    // its last sequence then
	until   time.Time // leases may be held without a key until then
	lost    bool      // this reader knew the bucket before it vanished
}

// look takes in the state of the bucket. It reports whether the keys that it held at the latest look were lost.
func (f *freshBucket) look(info *jetstream.StreamInfo, ttl time.Duration) (lost bool) {
	known, before, last := !f.created.IsZero(), f.created, f.last
	f.created, f.last = info.Created, info.State.LastSeq
	switch {
	case !known:
		f.until = time.Now().Add(min(ttl-info.TimeStamp.Sub(info.Created), ttl))
	case !before.Equal(info.Created), info.State.LastSeq < last:
		f.until, f.lost, lost = time.Now().Add(ttl), true, true
	}
	return lost
}

// settling reports whether starters that were there before the bucket was lost may not have their keys in it yet: their
// shares are not known, and no reader releases a partition that no other may acquire.
func (f *freshBucket) settling() bool { return f.lost && time.Now().Before(f.until) }

// mayBeHeld reports whether a partition may have a reader whose lease does not have a key in the bucket.
func (f *freshBucket) mayBeHeld(ctx context.Context, s bus.Streams, partition int) (bool, error) {
	switch {
	case !time.Now().Before(f.until):
		return false, nil
	case f.lost:
		return true, nil
	}
	consumer, err := s.Events().Consumer(ctx, consumerName(partition))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("look for consumer %s of %s: %w", consumerName(partition), schemas.StreamEvents, err)
	}
	return consumer.CachedInfo().Created.Before(f.created), nil // a reader creates it after it has acquired its lease
}

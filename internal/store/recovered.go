package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// Recovered stores up to which time the runs of a namespace of Temporal that ended early were recovered, in the bucket of
// the redrives: both are about events that are handled again. While the bucket is gone, starters look back further.
type Recovered struct {
	bucket jetstream.KeyValue
	key    string
}

// NewRecovered returns a new Recovered of a namespace on an account's streams.
func NewRecovered(s bus.Streams, namespace string) *Recovered {
	return &Recovered{bucket: s.Bucket(bus.BucketRedrives), key: redriveKey("runs recovered in " + namespace)}
}

// Get returns the time, the zero time when none is stored.
func (r *Recovered) Get(ctx context.Context) (time.Time, error) {
	entry, err := r.bucket.Get(ctx, r.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return time.Time{}, nil
	}
	var at time.Time
	if err == nil {
		err = at.UnmarshalText(entry.Value())
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read how far runs were recovered: %w", err)
	}
	return at, nil
}

// Put stores the time.
func (r *Recovered) Put(ctx context.Context, at time.Time) error {
	value, err := at.UTC().MarshalText()
	if err == nil {
		_, err = r.bucket.Put(ctx, r.key, value)
	}
	return err
}

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// Keys stores the secret keys that the processes of an installation share, such as the key of callback addresses.
type Keys struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// NewKeys returns a new Keys on an account's streams.
func NewKeys(s bus.Streams) *Keys { return &Keys{bucket: s.Bucket(bus.BucketKeys), streams: s} }

// Ensure returns the key of a name, and stores a new one from create when there is none. Processes that start at the
// same time get the same key.
func (k *Keys) Ensure(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	entry, err := k.bucket.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		fresh, createErr := create()
		if createErr != nil {
			return nil, fmt.Errorf("create key %s: %w", name, createErr)
		}
		if _, err = k.bucket.Create(ctx, name, fresh); err != nil && !natsclient.IsConflict(err) {
			return nil, fmt.Errorf("store key %s: %w", name, err)
		}
		entry, err = k.bucket.Get(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", name, err)
	}
	k.streams.RestoreKey(name, entry.Value())
	return entry.Value(), nil
}

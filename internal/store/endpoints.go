package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Endpoints stores the states of endpoints that workers share, as opaque bytes. A state expires after an hour, the longest
// pause of an endpoint.
type Endpoints struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// NewEndpoints returns a new Endpoints on an account's streams.
func NewEndpoints(s bus.Streams) *Endpoints {
	return &Endpoints{bucket: s.Bucket(bus.BucketEndpoints), streams: s}
}

// Tell stores the state of an endpoint.
func (e *Endpoints) Tell(ctx context.Context, owner schemas.BotID, url string, notice []byte) error {
	if _, err := e.bucket.Put(ctx, endpointKey(owner, url), notice); err != nil {
		return fmt.Errorf("store the state of an endpoint: %w", err)
	}
	return nil
}

// Forget removes the state of an endpoint.
func (e *Endpoints) Forget(ctx context.Context, owner schemas.BotID, url string) error {
	err := e.bucket.Delete(ctx, endpointKey(owner, url))
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("store the state of an endpoint: %w", err)
	}
	return nil
}

// Listen calls received for every stored state and for every later one, including those of this process, until ctx ends. It
// continues after reconnections, and after the bucket was created again.
func (e *Endpoints) Listen(ctx context.Context, received func(notice []byte)) error {
	return ignoreEnd(ctx, e.streams.Watch(ctx, bus.BucketEndpoints, func() {}, func(entry jetstream.KeyValueEntry) {
		if entry != nil { // nil marks the end of the stored states
			received(entry.Value())
		}
	}, jetstream.IgnoreDeletes()))
}

// List returns the stored states.
func (e *Endpoints) List(ctx context.Context) ([][]byte, error) {
	var all [][]byte
	err := e.streams.ListBucket(ctx, bus.BucketEndpoints, func(value []byte) { all = append(all, value) })
	return all, err
}

// endpointKey returns a key with a hash of the address, which may be long and contain any character.
func endpointKey(owner schemas.BotID, url string) string {
	sum := sha256.Sum256([]byte(url))
	return owner.Tenant + "." + owner.Bot + "." + hex.EncodeToString(sum[:16])
}

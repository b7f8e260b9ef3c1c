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

// Endpoints is where workers tell each other which endpoints must be left alone. It holds bytes and does not know what is in
// them. What is told is forgotten after an hour, the longest pause that is believed.
type Endpoints struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// NewEndpoints opens the notices of an account.
func NewEndpoints(s bus.Streams) *Endpoints {
	return &Endpoints{bucket: s.Bucket(bus.BucketEndpoints), streams: s}
}

// Tell replaces what is known of an endpoint.
func (e *Endpoints) Tell(ctx context.Context, owner schemas.BotID, url string, notice []byte) error {
	if _, err := e.bucket.Put(ctx, endpointKey(owner, url), notice); err != nil {
		return fmt.Errorf("tell the other workers of an endpoint: %w", err)
	}
	return nil
}

// Forget removes what is known of an endpoint.
func (e *Endpoints) Forget(ctx context.Context, owner schemas.BotID, url string) error {
	err := e.bucket.Delete(ctx, endpointKey(owner, url))
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("tell the other workers of an endpoint: %w", err)
	}
	return nil
}

// Listen calls heard for what is known now and for everything that is told from now on, this process's own notices
// included, until ctx ends. It follows reconnections, and a bucket that was created again.
func (e *Endpoints) Listen(ctx context.Context, heard func(notice []byte)) error {
	return ignoreEnd(ctx, e.streams.Watch(ctx, bus.BucketEndpoints, func() {}, func(entry jetstream.KeyValueEntry) {
		if entry != nil { // nil marks the end of what was known
			heard(entry.Value())
		}
	}, jetstream.IgnoreDeletes()))
}

// endpointKey hides the address, which may be long and have any character.
func endpointKey(owner schemas.BotID, url string) string {
	sum := sha256.Sum256([]byte(url))
	return owner.Tenant + "." + owner.Bot + "." + hex.EncodeToString(sum[:16])
}

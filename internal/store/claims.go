package store

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// Claims assigns a task to one of several processes.
type Claims struct{ bucket jetstream.KeyValue }

// NewClaims returns a new Claims on an account's streams.
func NewClaims(s bus.Streams) *Claims { return &Claims{bucket: s.Bucket(bus.BucketClaims)} }

// Claim reports whether a key belongs to this caller: of several callers with one key within two minutes it is true for
// one.
func (c *Claims) Claim(ctx context.Context, key string) (bool, error) {
	_, err := c.bucket.Create(ctx, key, nil)
	if bus.IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}

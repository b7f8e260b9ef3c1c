package store

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// claimBytes is more than a claim takes in its bucket.
const claimBytes = 192

// Claims assigns a task to one of several processes. A tenant has at most half of the bucket.
type Claims struct {
	bucket jetstream.KeyValue
	shares *lifeShares
}

// NewClaims returns a new Claims on an account's streams.
func NewClaims(s bus.Streams) *Claims {
	return &Claims{bucket: s.Bucket(bus.BucketClaims), shares: newLifeShares(s, bus.BucketClaims, claimBytes, 1)}
}

// Claim reports whether a key belongs to this caller: of several callers with one key within two minutes it is true for
// one. The error is of the kind rate_limited when the claims of the tenant fill its share.
func (c *Claims) Claim(ctx context.Context, tenant, key string) (bool, error) {
	if err := c.shares.measure(ctx); err != nil {
		return false, err
	}
	if !c.shares.take(tenant) {
		return false, fault.New(fault.RateLimited, "the event notifications of the tenant fill its share")
	}
	_, err := c.bucket.Create(ctx, key, nil)
	if err != nil {
		c.shares.give(tenant)
	}
	if natsclient.IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Begun stores which worker has begun the script of a run, for ten minutes: longer than a run of a script takes. It is in
// the bucket of posted events, which has the rate of what comes over HTTP, too, and leaves a quarter of it to claims.
type Begun struct{ bucket jetstream.KeyValue }

const (
	begunPrefix = "script."
	// begunTries and begunPause are for reading a claim from a replica that does not have it yet.
	begunTries = 20
	begunPause = 25 * time.Millisecond
)

// NewBegun returns a new Begun on an account's streams.
func NewBegun(s bus.Streams) *Begun { return &Begun{bucket: s.Bucket(bus.BucketPosted)} }

// Claim records that a worker begins the script of a run, unless a worker has begun it: then it returns which one. created
// reports that it was this call that recorded it. After an error the claim may be stored all the same.
func (b *Begun) Claim(ctx context.Context, owner schemas.BotID, id, worker string) (holder string, created bool, err error) {
	key := begunPrefix + schemas.IDOf("script", owner.WithConversation(""), id)
	if _, err = b.bucket.Create(ctx, key, []byte(worker)); err == nil {
		return worker, true, nil
	}
	if !natsclient.IsConflict(err) {
		return "", false, fmt.Errorf("claim a script: %w", err)
	}
	for range begunTries {
		stored, err := b.bucket.Get(ctx, key)
		if err == nil {
			return string(stored.Value()), false, nil
		}
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return "", false, fmt.Errorf("read the claim of a script: %w", err)
		}
		select {
		case <-time.After(begunPause):
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
	}
	return "", false, errors.New("read the claim of a script: not found")
}

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

// Endpoints stores the states of endpoints that workers share, as opaque bytes. A state expires after an hour, the longest
// pause of an endpoint.
type Endpoints struct {
	bucket  jetstream.KeyValue
	log     jetstream.Stream // behind the bucket: the tools may not read a key of it
	streams bus.Streams
	quota   *quota.Quota
}

// NewEndpoints returns a new Endpoints on an account's streams.
func NewEndpoints(s bus.Streams) *Endpoints {
	return &Endpoints{
		bucket: s.Bucket(bus.BucketEndpoints), log: s.BucketLog(bus.BucketEndpoints), streams: s,
		quota: s.BucketQuota(bus.BucketEndpoints),
	}
}

// Tell stores the state of an endpoint. A state of an endpoint that has none stored is a fault of the kind queue_full when
// those of the tenant fill half of the bucket.
func (e *Endpoints) Tell(ctx context.Context, owner schemas.BotID, url string, notice []byte) error {
	key := endpointKey(owner, url)
	if full := checkShare(ctx, e.quota, owner.Tenant, fault.QueueFull, "endpoint states"); full != nil {
		if known, err := e.knows(ctx, key); err != nil || !known {
			return errors.Join(full, err)
		}
	}
	if _, err := e.bucket.Put(ctx, key, notice); err != nil {
		return fmt.Errorf("store the state of an endpoint: %w", err)
	}
	e.quota.Wrote(owner.Tenant, len(key)+len(notice))
	return nil
}

// Forget removes the state of an endpoint. What is not stored leaves no mark of a removal, which takes room as a state does.
func (e *Endpoints) Forget(ctx context.Context, owner schemas.BotID, url string) error {
	key := endpointKey(owner, url)
	known, err := e.knows(ctx, key)
	if known {
		err = e.bucket.Delete(ctx, key)
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("remove the state of an endpoint: %w", err)
	}
	return nil
}

// knows reports whether a state is stored.
func (e *Endpoints) knows(ctx context.Context, key string) (bool, error) {
	stored, err := e.log.GetLastMsgForSubject(ctx, "$KV."+bus.BucketEndpoints+"."+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && !removed(stored), err
}

// Follow calls received for every stored state, then ready once, then received for every later state, including those
// of this process, until ctx ends. It continues after reconnections, and after the bucket was created again.
func (e *Endpoints) Follow(ctx context.Context, received func(notice []byte), ready func()) error {
	return follow(ctx, e.streams, bus.BucketEndpoints, follower{
		begin:   func() {},
		put:     func(entry jetstream.KeyValueEntry) { received(entry.Value()) },
		removed: func(string, uint64) {},
		ready:   ready,
	})
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

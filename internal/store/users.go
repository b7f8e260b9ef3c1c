package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Users stores user_details: one JSON document for each user of a tenant, which outlives conversations.
type Users struct{ bucket fenced }

// NewUsers returns a new Users on an account's streams.
func NewUsers(js jetstream.JetStream, s bus.Streams) *Users {
	return &Users{bucket: fenced{js: js, stream: s.BucketLog(bus.BucketUsers), bucket: bus.BucketUsers}}
}

// Get returns a user's details, nil when there are none.
func (u *Users) Get(ctx context.Context, tenant, userID string) (json.RawMessage, error) {
	key, err := userKey(tenant, userID)
	if err != nil {
		return nil, err
	}
	v, err := u.bucket.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read user details: %w", err)
	}
	return v.data, nil
}

// Update replaces a user's details by what change returns for them; nil removes them. It returns what is stored then.
// When another process changes them in between, change is called again with the newer ones, until ctx ends. An error of
// change is returned as it is.
//
// fence orders the writers: the acceptance of the event that writes, in nanoseconds. A write with an older fence than
// that of the stored details is dropped, and the stored ones are returned: it comes from a worker that was paused while
// newer events were handled. The fence 0 is a write without order: it is never dropped, and keeps the fence that is
// stored. What changes neither details nor fence is not written.
func (u *Users) Update(
	ctx context.Context, tenant, userID string, fence int64, change func(old json.RawMessage) (json.RawMessage, error),
) (json.RawMessage, error) {
	key, err := userKey(tenant, userID)
	if err != nil {
		return nil, err
	}
	var stored json.RawMessage
	err = backoff.Retry(func() error {
		v, err := u.bucket.get(ctx, key)
		if err != nil {
			return backoff.Permanent(fmt.Errorf("read user details: %w", err))
		}
		stored = v.data
		if v.older(fence) {
			return nil
		}
		value, err := change(v.data)
		if err != nil {
			return backoff.Permanent(err)
		}
		if value == nil && v.data == nil {
			return nil
		}
		if value != nil && fence <= v.fence && bytes.Equal(value, v.data) {
			return nil // the same details of a newer event are written: their fence is newer
		}
		err = u.bucket.put(ctx, key, fencedValue{data: value, fence: max(fence, v.fence), revision: v.revision})
		if err == nil {
			stored = value
			return nil
		}
		if bus.IsConflict(err) {
			return err
		}
		return backoff.Permanent(fmt.Errorf("store user details: %w", err))
	}, backoff.WithContext(bus.Backoff(5*time.Millisecond, 500*time.Millisecond), ctx))
	return stored, err
}

// userKey returns a key with a hash of the user id, which may be a name or an address.
func userKey(tenant, userID string) (string, error) {
	if !schemas.IsToken(tenant) {
		return "", fault.New(fault.BadEvent, "tenant must be of the form [A-Za-z0-9_-]{1,64}")
	}
	sum := sha256.Sum256([]byte(userID))
	return tenant + "." + hex.EncodeToString(sum[:])[:32], nil
}

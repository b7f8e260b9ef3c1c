package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

// Users stores user_details: one JSON document for each user of a tenant, which outlives conversations.
type Users struct {
	bucket fenced
	quota  *quota.Quota
}

// NewUsers returns a new Users on an account's streams.
func NewUsers(js jetstream.JetStream, s bus.Streams) *Users {
	return &Users{
		bucket: fenced{js: js, stream: s.BucketLog(bus.BucketUsers), bucket: bus.BucketUsers},
		quota:  s.BucketQuota(bus.BucketUsers),
	}
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
// When another process changes them in between, change is called again with the newer ones, until ctx ends.
//
// fence orders the writers: the acceptance of the event that writes, in nanoseconds. A write with an older fence than
// that of the stored details is dropped, and the stored ones are returned: it comes from a worker that was paused while
// newer events were handled. The fence 0 is a write without order: it is never dropped, and keeps the fence that is
// stored. What changes neither details nor fence is not written. writer is the id of the reply whose step writes, for
// Settle. Details that grow are a fault of the kind too_large when those of the tenant fill half of the bucket.
func (u *Users) Update(
	ctx context.Context, tenant, userID string, fence int64, writer string,
	change func(old json.RawMessage) (json.RawMessage, error),
) (json.RawMessage, error) {
	key, err := userKey(tenant, userID)
	if err != nil {
		return nil, err
	}
	grown := 0
	stored, err := u.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		if v.older(fence) {
			return v, false, nil
		}
		value, err := change(v.data)
		if err != nil || v.holds(value, fence) {
			return v, false, err
		}
		if grown = len(value) - len(v.data); grown > 0 {
			if err := checkShare(ctx, u.quota, tenant, fault.TooLarge, "user details"); err != nil {
				return v, false, err
			}
		}
		return fencedValue{data: value, fence: max(fence, v.fence), writer: writer}, true, nil
	})
	if err != nil {
		return stored.data, fmt.Errorf("change user details: %w", err)
	}
	u.quota.Wrote(tenant, max(grown, 0))
	return stored.data, nil
}

// Undo replaces a user's details like Update without a fence, and stores them also when change returns them as they were:
// a write without an acknowledgement can be on its way still, and is then over a revision that is not the latest any
// more, so that NATS rejects it.
func (u *Users) Undo(
	ctx context.Context, tenant, userID string, change func(old json.RawMessage) (json.RawMessage, error),
) error {
	key, err := userKey(tenant, userID)
	if err != nil {
		return err
	}
	_, err = u.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		value, err := change(v.data)
		return fencedValue{data: value, fence: v.fence}, true, err
	})
	if err != nil {
		return fmt.Errorf("undo a change of user details: %w", err)
	}
	return nil
}

// Settle makes details those of the reply that stands, where an attempt of the same step wrote them last: its answer was
// not the one that the engine has read.
func (u *Users) Settle(ctx context.Context, tenant, userID string, details json.RawMessage, writer string) error {
	key, err := userKey(tenant, userID)
	if err != nil {
		return err
	}
	_, err = u.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		return fencedValue{data: details, fence: v.fence, writer: writer},
			v.writer == writer && !bytes.Equal(v.data, details), nil
	})
	if err != nil {
		return fmt.Errorf("settle user details: %w", err)
	}
	return nil
}

// userKey returns a key with a hash of the user id, which may be a name or an address.
func userKey(tenant, userID string) (string, error) {
	if !schemas.IsToken(tenant) {
		return "", fault.New(fault.BadEvent, "tenant must be of the form [A-Za-z0-9_-]{1,64}")
	}
	sum := sha256.Sum256([]byte(userID))
	return tenant + "." + hex.EncodeToString(sum[:])[:32], nil
}

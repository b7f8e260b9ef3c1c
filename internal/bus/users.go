package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Users keep user_details: one JSON document for a user of a tenant, which outlives conversations.
type Users struct{ bucket jetstream.KeyValue }

// NewUsers opens the users of an account.
func NewUsers(s Streams) *Users { return &Users{bucket: s.users} }

// Get gives a user's details, nil when there are none.
func (u *Users) Get(ctx context.Context, tenant, userID string) (json.RawMessage, error) {
	key, err := userKey(tenant, userID)
	if err != nil {
		return nil, err
	}
	value, _, err := u.get(ctx, key)
	return value, err
}

// Update replaces a user's details by what change makes of them; nil removes them. When somebody else changes them in
// between, change is called again with the newer ones, until ctx ends. An error of change is given back as it is.
func (u *Users) Update(
	ctx context.Context, tenant, userID string, change func(old json.RawMessage) (json.RawMessage, error),
) error {
	key, err := userKey(tenant, userID)
	if err != nil {
		return err
	}
	return backoff.Retry(func() error {
		old, revision, err := u.get(ctx, key)
		if err != nil {
			return backoff.Permanent(err)
		}
		value, err := change(old)
		if err != nil {
			return backoff.Permanent(err)
		}
		err = u.put(ctx, key, value, revision)
		if err == nil || IsConflict(err) {
			return err
		}
		return backoff.Permanent(fmt.Errorf("store user details: %w", err))
	}, backoff.WithContext(newBackoff(5*time.Millisecond, 500*time.Millisecond), ctx))
}

func (u *Users) get(ctx context.Context, key string) (json.RawMessage, uint64, error) {
	entry, err := u.bucket.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read user details: %w", err)
	}
	return entry.Value(), entry.Revision(), nil
}

// put stores a value over the revision that was read; revision 0 means that there was none.
func (u *Users) put(ctx context.Context, key string, value json.RawMessage, revision uint64) error {
	var err error
	switch {
	case value == nil && revision == 0:
	case value == nil:
		err = u.bucket.Delete(ctx, key, jetstream.LastRevision(revision))
	case revision == 0:
		_, err = u.bucket.Create(ctx, key, value)
	default:
		_, err = u.bucket.Update(ctx, key, value, revision)
	}
	return err
}

// IsConflict says whether somebody else has written a key since it was read. A replicated stream has its own error
// code.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// userKey hides the user id, which may be a name or an address, and makes it fit for a key.
func userKey(tenant, userID string) (string, error) {
	if !schemas.IsToken(tenant) {
		return "", fault.New(fault.BadEvent, "tenant must be of the form [A-Za-z0-9_-]{1,64}")
	}
	sum := sha256.Sum256([]byte(userID))
	return tenant + "." + hex.EncodeToString(sum[:])[:32], nil
}

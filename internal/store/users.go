package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

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

// UserUpdate is a write of a step to a user's details.
type UserUpdate struct {
	Members json.RawMessage // a JSON object of the members that it sets; null removes one
	// Fence orders the writers: the begin of the step, in nanoseconds. The fence 0 is a write without order: it is never
	// older than another, and keeps the fences that are stored.
	Fence int64
	// Writer is the id of the reply whose step writes, for Undo and Settle.
	Writer string
	// Merge returns details with the members of an update; nil removes the details. It is called again when another process
	// changes them in between.
	Merge func(old, update json.RawMessage) (json.RawMessage, error)
}

// UserDetails are a user's details after a write.
type UserDetails struct {
	Details json.RawMessage // as they are stored; nil: none
	Written json.RawMessage // the part of the update that the write has set; nil: none
	// Dropped is how many members of the update were left out, and have another value: a later write has set them.
	Dropped int
}

// Update merges an update into a user's details. Of its members those count that no later step has written: the order of
// steps, which is that of their fences, decides for each member. A worker that was paused while newer events were handled
// overwrites nothing of theirs; steps of one user that run side by side lose nothing. What changes neither details nor the
// order is not written. An update that is rejected, by Merge or as a fault of the kind too_large because the details and
// the marks of their members grow and what is stored of the tenant fills half of the bucket, returns the details as they
// are.
func (u *Users) Update(ctx context.Context, tenant, userID string, w UserUpdate) (UserDetails, error) {
	key, err := userKey(tenant, userID)
	if err != nil {
		return UserDetails{}, err
	}
	var after UserDetails
	grown := 0
	stored, err := u.bucket.change(ctx, key, func(v fencedValue) (next fencedValue, write bool, err error) {
		if next, after, err = w.apply(v); err != nil || next.sameDetails(v) {
			return v, false, err
		}
		if grown = next.size() - v.size(); grown > 0 {
			if err := checkShare(ctx, u.quota, tenant, fault.TooLarge, "user details"); err != nil {
				return v, false, err
			}
		}
		return next, true, nil
	})
	after.Details = stored.data
	if err != nil {
		return UserDetails{Details: stored.data}, fmt.Errorf("change user details: %w", err)
	}
	u.quota.Wrote(tenant, max(grown, 0))
	return after, nil
}

// apply returns a value with the members of an update that no later step has written.
func (w UserUpdate) apply(v fencedValue) (next fencedValue, after UserDetails, err error) {
	marks := marksOf(v)
	fits, names, dropped, err := marks.split(w.Members, w.Fence, v.data)
	after = UserDetails{Written: fits, Dropped: dropped}
	if err != nil || fits == nil {
		return v, after, err
	}
	data, err := w.Merge(v.data, fits)
	if err != nil {
		return v, after, err
	}
	marks.set(names, w.Fence, w.Writer)
	members, err := marks.encoded()
	return fencedValue{data: data, fence: max(w.Fence, v.fence), writer: w.Writer, members: members}, after, err
}

// size returns how many bytes of details, and of marks of their members, a value has.
func (v fencedValue) size() int { return len(v.data) + len(v.members) }

// sameDetails reports whether two values have the same details, and the same order of later writes.
func (v fencedValue) sameDetails(other fencedValue) bool {
	return bytes.Equal(v.data, other.data) && (v.data == nil) == (other.data == nil) && v.members == other.members
}

// Undo sets members to the values that they have here, null for none, where a write with this writer is still the
// latest one to it. It stores the details also when that changes nothing: a write without an acknowledgement can be on its
// way still, and is then over a revision that is not the latest any more, so that NATS rejects it.
func (u *Users) Undo(
	ctx context.Context, tenant, userID, writer string, members map[string]json.RawMessage,
) error {
	key, err := userKey(tenant, userID)
	if err != nil {
		return err
	}
	_, err = u.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		next, err := v.restored(writer, members)
		return next, true, err
	})
	if err != nil {
		return fmt.Errorf("undo a change of user details: %w", err)
	}
	return nil
}

// Settle makes those members that attempts of a step wrote last what they are in the step's reply, with the details that it
// has: the answer of a later attempt was not the one that the engine has read.
func (u *Users) Settle(ctx context.Context, tenant, userID string, details json.RawMessage, writer string) error {
	key, err := userKey(tenant, userID)
	if err != nil {
		return err
	}
	valid, err := membersOf(details)
	if err != nil {
		return fmt.Errorf("settle user details: %w", err)
	}
	_, err = u.bucket.change(ctx, key, func(v fencedValue) (fencedValue, bool, error) {
		now, err := membersOf(v.data)
		if err != nil {
			return v, false, err
		}
		for name := range now {
			now[name] = nil // unless the reply has it
		}
		maps.Copy(now, valid)
		next, err := v.restored(writer, now)
		return next, !bytes.Equal(next.data, v.data), err
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

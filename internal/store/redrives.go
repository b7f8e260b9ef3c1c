package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// Redrives stores how far the repetition of many events has come, and how often each step was repeated.
type Redrives struct{ bucket jetstream.KeyValue }

// NewRedrives returns a new Redrives on an account's streams.
func NewRedrives(s bus.Streams) *Redrives { return &Redrives{bucket: s.Bucket(bus.BucketRedrives)} }

// Get reads the value of a name and reports whether there is one.
func (r *Redrives) Get(ctx context.Context, name string, into any) (bool, error) {
	entry, err := r.bucket.Get(ctx, redriveKey(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), into)
	}
	if err != nil {
		return false, fmt.Errorf("read the progress of a redrive: %w", err)
	}
	return true, nil
}

// Put stores the value of a name.
func (r *Redrives) Put(ctx context.Context, name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if _, err := r.bucket.Put(ctx, redriveKey(name), raw); err != nil {
		return fmt.Errorf("store the progress of a redrive: %w", err)
	}
	return nil
}

// redriveKey returns a key for a name, which may contain any character.
func redriveKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

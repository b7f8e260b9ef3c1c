package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
)

const (
	// keysSettle is how long after a key was replaced another process may have one more that is not stored yet: it detects a
	// lost connection in about 15 s, reconnects, and compares its keys at its next look.
	keysSettle = 30 * time.Second
	// rereadPause bounds how often Reread reads: requests with tokens that are not valid ask for it.
	rereadPause = 100 * time.Millisecond
	// rereadTimeout bounds one read of Reread.
	rereadTimeout = 2 * time.Second
)

// Keys stores the secret keys that the processes of an installation share, such as the key of callback addresses.
type Keys struct {
	js      jetstream.JetStream
	streams bus.Streams
}

// NewKeys returns a new Keys on an account's streams.
func NewKeys(js jetstream.JetStream, s bus.Streams) *Keys { return &Keys{js: js, streams: s} }

// SharedKey describes a key.
type SharedKey struct {
	Name string
	// Create returns a new key for when none is stored. nil: this process only reads the key, and writes nothing.
	Create func() ([]byte, error)
	// Life is how long after a key was replaced what was signed with it can be valid.
	Life time.Duration
	// Use receives the keys whenever they change: the first one signs, all of them verify.
	Use func(keys [][]byte) error
	Log *slog.Logger // nil: nothing is logged
}

// Share calls Use of a key with what is stored, and stores a new key when there is none. Processes that start at the same
// time get the same key. From then on each look of bus.Upkeep compares the keys with those that are stored. Where another
// process has stored another key, because the bucket was lost, that one signs from then on; this process keeps its own for
// verifying, and stores it beside the other one, so that all processes verify what was signed with either.
func (k *Keys) Share(ctx context.Context, key SharedKey) (*Keyring, error) {
	if key.Log == nil {
		key.Log = slog.New(slog.DiscardHandler)
	}
	r := &Keyring{key: key, js: natsclient.WithUpkeep(k.js, nil)}
	if err := r.compare(ctx, k.js); err != nil {
		return nil, err
	}
	k.streams.OnLook(r.look)
	return r, nil
}

// Keyring is the keys of one name that this process has.
type Keyring struct {
	key SharedKey
	js  jetstream.JetStream // without upkeep: a look must not wait for a restoration, which waits for looks

	mu     sync.Mutex
	own    keyRecord
	stored time.Time // when the record was stored, by the clock of NATS
	reread time.Time // when the latest Reread began
	failed bool      // that one could not read what is stored
}

func (r *Keyring) look(ctx context.Context) error {
	if !r.mu.TryLock() {
		return nil // a comparison runs
	}
	defer r.mu.Unlock()
	return r.compare(ctx, r.js)
}

// Reread compares the keys with those that are stored, for a token that none of them opens, unless a comparison has begun
// since it was called. It reports whether the keys are settled: false shortly after a key was replaced, when another process
// may have one more that is not stored yet, or when what is stored cannot be read. A key that replaced none is settled: a
// new installation would reject nothing otherwise.
func (r *Keyring) Reread(ctx context.Context) (settled bool) {
	called := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.reread.After(called) {
		select {
		case <-time.After(time.Until(r.reread.Add(rereadPause))):
		case <-ctx.Done():
			return false
		}
		r.reread = time.Now()
		ctx, cancel := context.WithTimeout(ctx, rereadTimeout)
		defer cancel()
		err := r.compare(ctx, r.js)
		if r.failed = err != nil; r.failed {
			r.key.Log.Log(ctx, natsclient.RetryLevel(err), "reading shared key failed", "key", r.key.Name, "error", err)
		}
	}
	return !r.failed && (len(r.own.older) == 0 || time.Since(r.stored).Abs() >= keysSettle)
}

// compare brings the keys of this process and those that are stored together. When another process writes in between, it
// reads again, until ctx ends.
func (r *Keyring) compare(ctx context.Context, js jetstream.JetStream) error {
	return backoff.Retry(func() error {
		err := r.try(ctx, js)
		if err == nil || natsclient.IsConflict(err) {
			return err
		}
		return backoff.Permanent(err)
	}, backoff.WithContext(retry.Backoff(5*time.Millisecond, 500*time.Millisecond), ctx))
}

func (r *Keyring) try(ctx context.Context, js jetstream.JetStream) error {
	stored, err := readKeys(ctx, js, r.key.Name)
	if err != nil {
		return fmt.Errorf("read key %s: %w", r.key.Name, err)
	}
	if r.own.current != nil && stored.current != nil && len(stored.current) != len(r.own.current) {
		return fmt.Errorf("the stored key %s has %d bytes, expected %d: store a valid key in bucket %s, or delete it",
			r.key.Name, len(stored.current), len(r.own.current), bus.BucketKeys)
	}
	now := time.Now()
	merged := stored.merge(r.own, now, now.Add(r.key.Life))
	fresh := merged.current == nil
	switch {
	case fresh && r.key.Create == nil:
		return nil
	case fresh:
		if merged.current, err = r.key.Create(); err != nil {
			return fmt.Errorf("create key %s: %w", r.key.Name, err)
		}
	}
	if r.writes(stored, merged) {
		if err = writeKeys(ctx, js, r.key.Name, merged); natsclient.IsConflict(err) {
			return err
		}
		if err != nil {
			err = fmt.Errorf("store key %s: %w", r.key.Name, err)
		}
		if err != nil && stored.current == nil {
			return err
		}
		merged.at = now
	}
	return errors.Join(err, r.install(ctx, merged))
}

// writes reports whether this process stores what it has. One that starts does not prune a record: it stores a key only when
// there is none.
func (r *Keyring) writes(stored, merged keyRecord) bool {
	return r.key.Create != nil && !merged.equal(stored) && (stored.current == nil || r.own.current != nil)
}

// install makes the process use the keys of a record.
func (r *Keyring) install(ctx context.Context, record keyRecord) error {
	r.stored = record.at
	if record.equal(r.own) {
		return nil
	}
	if err := r.key.Use(record.keys()); err != nil {
		return err
	}
	if r.own.current != nil && !bytes.Equal(r.own.current, record.current) {
		r.key.Log.WarnContext(ctx, "shared key replaced, addresses made with the earlier key stay valid", "key", r.key.Name,
			"bucket", bus.BucketKeys)
	}
	r.own = record
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// Channels stores the integration channels of the admin API by their ids, as opaque bytes.
type Channels struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// ErrChanged reports that another caller has changed, created or deleted a channel in between.
var ErrChanged = errors.New("the channel was changed by another request: read it again")

// NewChannels returns a new Channels on an account's streams.
func NewChannels(s bus.Streams) *Channels {
	return &Channels{bucket: s.Bucket(bus.BucketChannels), streams: s}
}

// Put stores a channel over the revision that was read, 0 for a new channel, and returns its new revision.
func (c *Channels) Put(ctx context.Context, id string, channel []byte, revision uint64) (uint64, error) {
	var err error
	if revision == 0 {
		revision, err = c.bucket.Create(ctx, id, channel)
	} else {
		revision, err = c.bucket.Update(ctx, id, channel, revision)
	}
	if bus.IsConflict(err) {
		return 0, ErrChanged
	}
	if err != nil {
		return 0, fmt.Errorf("store a channel: %w", err)
	}
	return revision, nil
}

// Delete removes a channel of a revision.
func (c *Channels) Delete(ctx context.Context, id string, revision uint64) error {
	err := c.bucket.Delete(ctx, id, jetstream.LastRevision(revision))
	if bus.IsConflict(err) {
		return ErrChanged
	}
	if err != nil {
		return fmt.Errorf("delete a channel: %w", err)
	}
	return nil
}

// Follow calls changed for every existing channel, then ready once, then changed for every change, until ctx ends. A
// deleted channel has no bytes. It continues after reconnections; after the bucket was created again it reports the
// missing channels as deleted.
func (c *Channels) Follow(ctx context.Context, changed func(id string, channel []byte, revision uint64),
	ready func()) error {
	var known, before map[string]bool // in this watch, and in those before it
	once := sync.OnceFunc(ready)
	return ignoreEnd(ctx, c.streams.Watch(ctx, bus.BucketChannels, func() {
		before, known = known, map[string]bool{}
	}, func(entry jetstream.KeyValueEntry) {
		switch {
		case entry == nil: // the end of the existing channels
			for id := range before {
				if !known[id] {
					changed(id, nil, 0)
				}
			}
			once()
		case entry.Operation() == jetstream.KeyValuePut:
			known[entry.Key()] = true
			changed(entry.Key(), entry.Value(), entry.Revision())
		default:
			delete(known, entry.Key())
			changed(entry.Key(), nil, entry.Revision())
		}
	}))
}

// ignoreEnd returns nil when the context has ended, else the error.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end that was asked for
	}
	return err
}

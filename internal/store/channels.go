package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// Channels keep the integration channels of the administration, by their ids. They hold bytes and do not know what is in
// them.
type Channels struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// ErrChanged says that somebody else has changed, made or deleted a channel in between.
var ErrChanged = errors.New("the channel was changed by somebody else: read it again")

// NewChannels opens the channels of an account.
func NewChannels(s bus.Streams) *Channels {
	return &Channels{bucket: s.Bucket(bus.BucketChannels), streams: s}
}

// Put stores a channel over the revision that was read, 0 when there was none, and gives its new revision.
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

// Follow calls heard for every channel there is, then ready once, then heard for every change, until ctx ends. A channel
// that was deleted has no bytes. It follows reconnections; after the bucket was created again it reports the channels that
// are gone as deleted.
func (c *Channels) Follow(ctx context.Context, heard func(id string, channel []byte, revision uint64), ready func()) error {
	var known, before map[string]bool // in this watch, and in those before it
	once := sync.OnceFunc(ready)
	return ignoreEnd(ctx, c.streams.Watch(ctx, bus.BucketChannels, func() {
		before, known = known, map[string]bool{}
	}, func(entry jetstream.KeyValueEntry) {
		switch {
		case entry == nil: // the end of what there was
			for id := range before {
				if !known[id] {
					heard(id, nil, 0)
				}
			}
			once()
		case entry.Operation() == jetstream.KeyValuePut:
			known[entry.Key()] = true
			heard(entry.Key(), entry.Value(), entry.Revision())
		default:
			delete(known, entry.Key())
			heard(entry.Key(), nil, entry.Revision())
		}
	}))
}

// ignoreEnd is nil for an error that the end of a context explains.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

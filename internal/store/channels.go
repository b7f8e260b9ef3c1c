package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
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
	if natsclient.IsConflict(err) {
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
	if natsclient.IsConflict(err) {
		return ErrChanged
	}
	if err != nil {
		return fmt.Errorf("delete a channel: %w", err)
	}
	return nil
}

// Follow calls changed for every existing channel, then ready once, then changed for every change, until ctx ends. A
// deleted channel has no bytes. It continues after reconnections with all channels again, and calls begin before: the bucket
// may have been created again, and its revisions with it. Channels that are missing then are reported as deleted, with the
// revision 0.
func (c *Channels) Follow(ctx context.Context, begin func(), changed func(id string, channel []byte, revision uint64),
	ready func()) error {
	return follow(ctx, c.streams, bus.BucketChannels, follower{
		begin:   begin,
		put:     func(e jetstream.KeyValueEntry) { changed(e.Key(), e.Value(), e.Revision()) },
		removed: func(id string, revision uint64) { changed(id, nil, revision) },
		ready:   ready,
	})
}

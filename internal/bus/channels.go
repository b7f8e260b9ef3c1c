package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Channels keep the integration channels of the administration, by their ids. They hold bytes and do not know what is in
// them.
type Channels struct{ bucket jetstream.KeyValue }

// ErrChanged says that somebody else has changed, made or deleted a channel in between.
var ErrChanged = errors.New("the channel was changed by somebody else: read it again")

// NewChannels opens the channels of an account.
func NewChannels(s Streams) *Channels { return &Channels{bucket: s.channels} }

// Put stores a channel over the revision that was read, 0 when there was none, and gives its new revision.
func (c *Channels) Put(ctx context.Context, id string, channel []byte, revision uint64) (uint64, error) {
	var err error
	if revision == 0 {
		revision, err = c.bucket.Create(ctx, id, channel)
	} else {
		revision, err = c.bucket.Update(ctx, id, channel, revision)
	}
	if IsConflict(err) {
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
	if IsConflict(err) {
		return ErrChanged
	}
	if err != nil {
		return fmt.Errorf("delete a channel: %w", err)
	}
	return nil
}

// Follow calls heard for every channel there is, then ready once, then heard for every change, until ctx ends. A channel
// that was deleted has no bytes. It follows reconnections.
func (c *Channels) Follow(ctx context.Context, heard func(id string, channel []byte, revision uint64), ready func()) error {
	watcher, err := c.bucket.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("follow the channels: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return nil // ctx ended
			case entry == nil: // the end of what there was
				ready()
			case entry.Operation() == jetstream.KeyValuePut:
				heard(entry.Key(), entry.Value(), entry.Revision())
			default:
				heard(entry.Key(), nil, entry.Revision())
			}
		}
	}
}

package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
)

// watched follows every key of a bucket for as long as a process runs.
type watched struct {
	bucket  jetstream.KeyValue
	streams Streams
	log     *slog.Logger
}

func newWatched(bucket jetstream.KeyValue, s Streams) watched {
	w := watched{bucket: bucket, streams: s, log: slog.New(slog.DiscardHandler)}
	if s.up != nil {
		w.log = s.up.log
	}
	return w
}

var errWatchEnded = errors.New("the watch has ended")

// follow calls begin, then each for what there is, then each(nil), then each for every change, until ctx ends. It begins again, with what
// there is then, when the watch ends for any other reason and when streams were created again.
func (w watched) follow(ctx context.Context, begin func(), each func(jetstream.KeyValueEntry), opts ...jetstream.WatchOpt) error {
	waits := newBackoff(100*time.Millisecond, 5*time.Second)
	return backoff.RetryNotify(func() error {
		begin()
		err := w.once(ctx, func(entry jetstream.KeyValueEntry) {
			waits.Reset()
			each(entry)
		}, opts)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}, backoff.WithContext(waits, ctx), func(err error, wait time.Duration) {
		w.log.Warn("watching a bucket ended, will watch again", "bucket", w.bucket.Bucket(), "error", err, "retry_in", wait)
	})
}

func (w watched) once(ctx context.Context, each func(jetstream.KeyValueEntry), opts []jetstream.WatchOpt) error {
	restored := w.streams.Restored("KV_" + w.bucket.Bucket())
	watcher, err := w.bucket.WatchAll(ctx, opts...)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", w.bucket.Bucket(), err)
	}
	defer func() { _ = watcher.Stop() }() // of a watch that has ended there is nothing left to stop
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-restored:
			return errWatchEnded
		case entry, open := <-watcher.Updates():
			if !open {
				return errWatchEnded
			}
			each(entry)
		}
	}
}

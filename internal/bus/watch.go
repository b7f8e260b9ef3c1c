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

var errWatchEnded = errors.New("the watch has ended")

// Watch calls begin, then each for the entries of a bucket, then each(nil), then each for every change, until ctx ends.
// It begins again, with the entries at that time, when the watch ends for any other reason and when the bucket was
// created again.
func (s Streams) Watch(
	ctx context.Context, bucket string, begin func(), each func(jetstream.KeyValueEntry), opts ...jetstream.WatchOpt,
) error {
	log := slog.New(slog.DiscardHandler)
	if s.up != nil {
		log = s.up.log
	}
	waits := Backoff(100*time.Millisecond, 5*time.Second)
	return backoff.RetryNotify(func() error {
		begin()
		err := s.watchOnce(ctx, bucket, func(entry jetstream.KeyValueEntry) {
			waits.Reset()
			each(entry)
		}, opts)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		return err
	}, backoff.WithContext(waits, ctx), func(err error, wait time.Duration) {
		log.Log(ctx, RetryLevel(err), "bucket watch ended, will retry", "bucket", bucket, "error", err, "retry_in", wait)
	})
}

func (s Streams) watchOnce(
	ctx context.Context, bucket string, each func(jetstream.KeyValueEntry), opts []jetstream.WatchOpt,
) error {
	restored := s.Restored("KV_" + bucket)
	watcher, err := s.Bucket(bucket).WatchAll(ctx, opts...)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", bucket, err)
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

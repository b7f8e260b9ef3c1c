package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
)

var errWatchEnded = errors.New("the watch has ended")

// pollEvery is how often a bucket is read that is followed without a consumer.
const pollEvery = 250 * time.Millisecond

// Watch calls begin, then each for the entries of a bucket, then each(nil), then each for every change, until ctx ends.
// It begins again, with the entries at that time, when the watch ends for any other reason and when the bucket was
// created again. On a connection to a JetStream domain, whose user has an account of its own and may not create consumers,
// it reads the bucket four times a second.
func (s Streams) Watch(
	ctx context.Context, bucket string, begin func(), each func(jetstream.KeyValueEntry),
) error {
	log := slog.New(slog.DiscardHandler)
	if s.up != nil {
		log = s.up.log
	}
	waits := retry.Backoff(100*time.Millisecond, 5*time.Second)
	return backoff.RetryNotify(func() error {
		begin()
		watch := s.watchOnce
		if s.js.Options().Domain != "" {
			watch = s.pollOnce
		}
		err := watch(ctx, bucket, func(entry jetstream.KeyValueEntry) {
			waits.Reset()
			each(entry)
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		return err
	}, backoff.WithContext(waits, ctx), func(err error, wait time.Duration) {
		log.Log(ctx, natsclient.RetryLevel(err), "bucket watch ended, will retry", "bucket", bucket, "error", err,
			"retry_in", wait)
	})
}

func (s Streams) watchOnce(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry)) error {
	restored := s.Restored("KV_" + bucket)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // otherwise each watch would stay in ctx
	watcher, err := s.Bucket(bucket).WatchAll(ctx)
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

// pollOnce is watchOnce without a consumer. An entry that is replaced while the bucket is read may be seen in both states.
func (s Streams) pollOnce(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry)) error {
	restored := s.Restored("KV_" + bucket)
	from, root, began := natsclient.LeaderOf(s.js, "KV_"+bucket), "$KV."+bucket+".", false
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for next := uint64(1); ; {
		m, err := from.Get(ctx, natsclient.Query{Next: root + ">", Sequence: next})
		switch {
		case err == nil:
			next = m.Sequence + 1
			each(polledEntry{m, bucket, strings.TrimPrefix(m.Subject, root)})
			continue
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return fmt.Errorf("read bucket %s: %w", bucket, err)
		case !began:
			began = true
			each(nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-restored:
			return errWatchEnded
		case <-ticker.C:
		}
	}
}

// polledEntry is an entry that was read without a consumer.
type polledEntry struct {
	m           *jetstream.RawStreamMsg
	bucket, key string
}

func (e polledEntry) Bucket() string     { return e.bucket }
func (e polledEntry) Key() string        { return e.key }
func (e polledEntry) Value() []byte      { return e.m.Data }
func (e polledEntry) Revision() uint64   { return e.m.Sequence }
func (e polledEntry) Created() time.Time { return e.m.Time }
func (e polledEntry) Delta() uint64      { return 0 }

func (e polledEntry) Operation() jetstream.KeyValueOp {
	if natsclient.IsRemoved(e.m) {
		return jetstream.KeyValueDelete
	}
	return jetstream.KeyValuePut
}

// ListBucket calls each for the values of a bucket as they are now.
func (s Streams) ListBucket(ctx context.Context, bucket string, each func(value []byte)) error {
	var all []*jetstream.RawStreamMsg
	latest := map[string]uint64{}
	err := natsclient.ReadStored(ctx, s.js, "KV_"+bucket, ">", func(m *jetstream.RawStreamMsg) error {
		latest[m.Subject] = m.Sequence
		all = append(all, m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	for _, m := range all {
		if latest[m.Subject] == m.Sequence && !natsclient.IsRemoved(m) {
			each(m.Data)
		}
	}
	return nil
}

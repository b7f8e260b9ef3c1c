package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
)

// Why a watch begins again.
var (
	errWatchEnded  = errors.New("the watch has ended")
	errReconnected = errors.New("the connection was lost and restored")
	errNotReceived = errors.New("an entry that is stored was not received")
)

const (
	// pollEvery is how often a bucket is read that is followed without a consumer.
	pollEvery = 250 * time.Millisecond
	// compareEvery is how often what a watch has received is compared with what is stored. An entry that was not received at
	// two comparisons ends the watch, so that all processes apply a change within about a second.
	compareEvery = 400 * time.Millisecond
)

// Watch calls begin, then each for the entries of a bucket, then each(nil), then each for every change, until ctx ends.
// It begins again, with the entries at that time, when the connection was lost and restored, when the watch ends or does
// not receive what is stored, and when the bucket was created again. On a connection to a JetStream domain, whose user has
// an account of its own and may not create consumers, it reads the bucket four times a second.
func (s Streams) Watch(
	ctx context.Context, bucket string, begin func(), each func(jetstream.KeyValueEntry),
) error {
	log := slog.New(slog.DiscardHandler)
	if s.up != nil {
		log = s.up.log
	}
	watch := s.watchOnce
	if s.js.Options().Domain != "" {
		watch = s.pollOnce
	}
	waits := retry.Backoff(100*time.Millisecond, time.Second)
	return backoff.RetryNotify(func() error {
		connected, stop := untilReconnected(ctx, s.js.Conn())
		defer stop()
		begin()
		err := watch(connected, bucket, func(entry jetstream.KeyValueEntry) {
			waits.Reset()
			each(entry)
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		return cmp.Or(context.Cause(connected), err)
	}, backoff.WithContext(waits, ctx), func(err error, wait time.Duration) {
		level := natsclient.RetryLevel(err)
		if errors.Is(err, errReconnected) {
			level = slog.LevelDebug // the connection logs it
		}
		log.Log(ctx, level, "bucket watch ended, will retry", "bucket", bucket, "error", err, "retry_in", wait)
	})
}

// untilReconnected returns a context that ends with errReconnected when the connection was lost and restored, until stop is
// called. A server that restarts has lost the consumers of watches and the requests that it had: the library would wait for
// both.
func untilReconnected(ctx context.Context, nc *nats.Conn) (connected context.Context, stop func()) {
	connected, cancel := context.WithCancelCause(ctx)
	restored := nc.StatusChanged(nats.CONNECTED)
	go func() {
		if _, open := <-restored; open {
			cancel(errReconnected)
		}
	}()
	return connected, func() { nc.RemoveStatusListener(restored); cancel(nil) }
}

// watchOnce passes on the entries of a consumer. The end of the stored entries waits until all have been received that the
// leader of the stream had: the consumer may run on a replica that lags.
func (s Streams) watchOnce(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry)) error {
	restored := s.Restored("KV_" + bucket)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the library then ends the watch and deletes its consumer, without a wait for the answer
	watcher, err := s.Bucket(bucket).WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", bucket, err)
	}
	a := arrivals{from: natsclient.LeaderOf(s.js, "KV_"+bucket), filter: "$KV." + bucket + ".>"}
	atEnd := false // the consumer has sent what its replica had
	compare := time.NewTicker(compareEvery)
	defer compare.Stop()
	for {
		select {
		case <-ctx.Done():
			return errWatchEnded
		case <-restored:
			return errWatchEnded
		case entry, open := <-watcher.Updates():
			if !open {
				return errWatchEnded
			}
			if entry != nil {
				a.received = entry.Revision()
				each(entry)
				continue
			}
			atEnd = true
			compare.Reset(compareEvery)
		case <-compare.C:
			if len(watcher.Updates()) > 0 {
				continue // they come first
			}
			if a.missing() {
				return errNotReceived
			}
		}
		if a.complete(ctx) && atEnd {
			atEnd = false
			each(nil)
		}
	}
}

// arrivals compares the entries that a watch has received with those that are stored.
type arrivals struct {
	from     natsclient.Leader
	filter   string // of the bucket's subjects
	received uint64 // latest revision
	stored   uint64 // a revision that was stored and not received at the latest comparison; 0 = none
}

// complete reports whether the watch has received all that is stored. It is false, too, when that cannot be read soon.
func (a *arrivals) complete(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, compareEvery)
	defer cancel()
	m, err := a.from.Get(ctx, natsclient.Query{Next: a.filter, Sequence: a.received + 1})
	if err == nil {
		a.stored = m.Sequence
	}
	return errors.Is(err, jetstream.ErrMsgNotFound)
}

// missing reports whether an entry that was not received at the latest comparison still is not.
func (a *arrivals) missing() bool { return a.stored > a.received }

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
			return errWatchEnded
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

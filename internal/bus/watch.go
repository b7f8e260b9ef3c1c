package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	errNotRead     = fmt.Errorf("the stored entries were not read within %s", readMax)
)

const (
	// pollEvery is how often a bucket is read that is followed without a consumer.
	pollEvery = 250 * time.Millisecond
	// compareEvery is how often what a watch has received is compared with what is stored. An entry that was not received at
	// two comparisons ends the watch, so that all processes apply a change within about a second.
	compareEvery = 400 * time.Millisecond
	// compareTimeout bounds a comparison, and compareFirst one before the stored entries are passed on: a process that starts
	// waits for them, also when NATS is slow.
	compareTimeout = 400 * time.Millisecond
	compareFirst   = 2 * time.Second
	// readMax bounds the time until the stored entries are passed on. After it, the watch begins again, with a line in the log.
	readMax = 10 * time.Second
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
			return nil // the end that was asked for
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

// watchOnce passes on the entries of a consumer. The consumer may run on a replica that lags: the stored entries are
// passed on when all have been received that the leader of the stream has, and of each key the latest only.
func (s Streams) watchOnce(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry)) error {
	restored := s.Restored("KV_" + bucket)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the library then ends the watch and deletes its consumer, without a wait for the answer
	watcher, err := s.Bucket(bucket).WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", bucket, err)
	}
	a := arrivals{
		from: natsclient.LeaderOf(s.js, "KV_"+bucket), filter: "$KV." + bucket + ".>", began: time.Now(),
		stored: map[string]jetstream.KeyValueEntry{}, each: each,
	}
	compare := time.NewTicker(compareEvery)
	defer compare.Stop()
	for {
		select {
		case <-ctx.Done():
			return errWatchEnded
		case <-restored:
			return errWatchEnded
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return errWatchEnded
			case entry != nil:
				a.receive(entry)
				continue
			}
			compare.Reset(compareEvery) // the replica has sent what it had
		case <-compare.C:
			if len(watcher.Updates()) > 0 {
				continue // they come first
			}
		}
		if err := a.compare(ctx); err != nil {
			return err
		}
	}
}

// arrivals passes on the entries that a watch receives, and compares them with those that the leader of the stream has.
type arrivals struct {
	from     natsclient.Leader
	filter   string // of the bucket's subjects
	began    time.Time
	received uint64                             // latest revision
	missing  uint64                             // a revision that was not received at the latest comparison; 0 = none
	stored   map[string]jetstream.KeyValueEntry // the latest of each key, until all are received; nil after that
	each     func(jetstream.KeyValueEntry)
}

func (a *arrivals) receive(entry jetstream.KeyValueEntry) {
	a.received = entry.Revision()
	if a.stored == nil {
		a.each(entry)
		return
	}
	a.stored[entry.Key()] = entry
}

// compare passes the stored entries on when the leader has no others. It is an error when an entry that was not received at
// the comparison before still is not, and when the stored entries take too long.
func (a *arrivals) compare(ctx context.Context) error {
	switch {
	case a.missing > a.received:
		return errNotReceived
	case a.stored != nil && time.Since(a.began) > readMax:
		return errNotRead
	}
	timeout := compareTimeout
	if a.stored != nil {
		timeout = compareFirst
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := a.from.Get(ctx, natsclient.Query{Next: a.filter, Sequence: a.received + 1})
	switch {
	case err == nil:
		a.missing = m.Sequence
	case errors.Is(err, jetstream.ErrMsgNotFound) && a.stored != nil:
		a.passStored()
	}
	return nil // one that could not be made is made again
}

// passStored passes on what was stored when the watch began, in the order of revisions, and its end.
func (a *arrivals) passStored() {
	byRevision := func(x, y jetstream.KeyValueEntry) int { return cmp.Compare(x.Revision(), y.Revision()) }
	for _, entry := range slices.SortedFunc(maps.Values(a.stored), byRevision) {
		a.each(entry)
	}
	a.stored = nil
	a.each(nil)
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

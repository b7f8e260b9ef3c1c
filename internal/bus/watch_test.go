package bus

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

// watched is what a watch has reported.
type watched struct {
	begins, ends atomic.Int64 // of the stored entries
	latest       atomic.Uint64
}

// watch watches a bucket until the end of the test.
func watch(t *testing.T, s Streams, bucket string) *watched {
	t.Helper()
	w := &watched{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = s.Watch(ctx, bucket, func() { w.begins.Add(1) }, func(entry jetstream.KeyValueEntry) {
			if entry == nil {
				w.ends.Add(1)
				return
			}
			w.latest.Store(entry.Revision())
		})
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// TestWatch_BeginsAgainAfterReconnection restarts the server, which loses the consumer of a watch. Nothing changes in the
// bucket afterwards: the watch does not wait for a change to begin again.
func TestWatch_BeginsAgainAfterReconnection(t *testing.T) {
	t.Parallel()
	for name, domain := range map[string]string{"consumer": "", "polling": "apart"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			inDomain := func(o *server.Options) { o.JetStreamDomain = domain }
			srv := natstest.Start(t, natstest.At(server.RANDOM_PORT, dir), inDomain)
			js := connectToDomain(t, srv, domain)
			s, err := Setup(testContext(t), js, StreamOptions{})
			require.NoError(t, err)
			_, err = s.Bucket(BucketPauses).Put(testContext(t), "key", nil)
			require.NoError(t, err)
			w := watch(t, s, BucketPauses)
			require.Eventually(t, func() bool { return w.ends.Load() == 1 }, soon, poll)
			require.EqualValues(t, 1, w.latest.Load())

			port := srv.Addr().(*net.TCPAddr).Port
			srv.Shutdown()
			srv.WaitForShutdown()
			natstest.Start(t, natstest.At(port, dir), inDomain)
			require.Eventually(t, func() bool { return w.begins.Load() > 1 && w.ends.Load() > 1 }, soon, poll)
		})
	}
}

// TestWatch_BeginsAgainWithoutItsConsumer: the server loses the consumer of a watch and keeps the connection, as when the
// member of a cluster that had it restarts.
func TestWatch_BeginsAgainWithoutItsConsumer(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	w := watch(t, s, BucketPauses)
	require.Eventually(t, func() bool { return w.ends.Load() == 1 }, soon, poll)
	stream, err := js.Stream(testContext(t), "KV_"+BucketPauses)
	require.NoError(t, err)
	for name := range stream.ConsumerNames(testContext(t)).Name() {
		require.NoError(t, stream.DeleteConsumer(testContext(t), name))
	}
	stored, err := s.Bucket(BucketPauses).Put(testContext(t), "key", nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.latest.Load() == stored }, soon, poll)
	require.EqualValues(t, 2, w.begins.Load(), "the library has found the loss first")
}

// laggingBucket is a bucket whose watches receive these entries, as from a replica that lags.
type laggingBucket struct {
	jetstream.KeyValue

	entries []jetstream.KeyValueEntry
}

func (b laggingBucket) WatchAll(context.Context, ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	updates := make(chan jetstream.KeyValueEntry, len(b.entries))
	for _, entry := range b.entries {
		updates <- entry
	}
	return sentEntries{updates: updates}, nil
}

type sentEntries struct {
	jetstream.KeyWatcher

	updates chan jetstream.KeyValueEntry
}

func (s sentEntries) Updates() <-chan jetstream.KeyValueEntry { return s.updates }

// TestWatch_StoredEntries: a watch passes on what the leader of the stream has, and no older value of a key, whatever a replica
// sends before.
func TestWatch_StoredEntries(t *testing.T) {
	t.Parallel()
	_, _, s := setup(t, StreamOptions{})
	put := func(key, value string) jetstream.KeyValueEntry {
		_, err := s.Bucket(BucketPauses).Put(testContext(t), key, []byte(value))
		require.NoError(t, err)
		entry, err := s.Bucket(BucketPauses).Get(testContext(t), key)
		require.NoError(t, err)
		return entry
	}
	old, other, latest := put("key", "old"), put("other", "x"), put("key", "latest")
	for name, sent := range map[string][]jetstream.KeyValueEntry{
		"the end comes first":                 {nil, other, latest},
		"a value that was replaced":           {old, other, nil, latest},
		"no end, its last entry has expired":  {other, latest},
		"an entry after the end of the other": {other, nil, latest},
	} {
		ctx, cancel := context.WithCancel(testContext(t))
		s.buckets = map[string]jetstream.KeyValue{BucketPauses: laggingBucket{entries: sent}}
		var seen []jetstream.KeyValueEntry
		require.NoError(t, s.Watch(ctx, BucketPauses, func() { seen = nil }, func(entry jetstream.KeyValueEntry) {
			if seen = append(seen, entry); entry == nil {
				cancel()
			}
		}), name)
		require.Equal(t, []jetstream.KeyValueEntry{other, latest, nil}, seen, name)
	}
}

// TestArrivals_EntryMissing compares an entry that arrives with one that does not.
func TestArrivals_EntryMissing(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	ctx := testContext(t)
	a := arrivals{
		from: natsclient.LeaderOf(js, "KV_"+BucketPauses), filter: "$KV." + BucketPauses + ".>",
		each: func(jetstream.KeyValueEntry) {},
	}
	require.NoError(t, a.compare(ctx))
	for range 2 {
		_, err := s.Bucket(BucketPauses).Put(ctx, "key", nil)
		require.NoError(t, err)
		entry, err := s.Bucket(BucketPauses).Get(ctx, "key")
		require.NoError(t, err)
		require.NoError(t, a.compare(ctx), "it was not stored at the latest comparison")
		require.ErrorIs(t, a.compare(ctx), errNotReceived)
		a.receive(entry)
		require.NoError(t, a.compare(ctx))
	}
}

// TestArrivals_NotRead: a watch whose stored entries are not all received begins again, with a line in the log.
func TestArrivals_NotRead(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	a := arrivals{
		from: natsclient.LeaderOf(js, "KV_"+BucketPauses), filter: "$KV." + BucketPauses + ".>",
		began: time.Now().Add(-readMax), stored: map[string]jetstream.KeyValueEntry{},
	}
	require.ErrorIs(t, a.compare(testContext(t)), errNotRead)
}

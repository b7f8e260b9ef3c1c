package eventreader

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// manualReader returns a reader that shares the partitions only when rebalance is called.
func manualReader(t *testing.T, js jetstream.JetStream, o bus.StreamOptions, name string) *Reader {
	t.Helper()
	streams, err := bus.Setup(testContext(t), js, o)
	require.NoError(t, err)
	r := NewReader(js, streams, Options{Name: name, Handler: func(context.Context, *Message) Outcome { return Ack() }})
	t.Cleanup(func() { stopReader(t, r) })
	return r
}

// requireReading waits until a reader reads its partitions.
func requireReading(t *testing.T, r *Reader) []*partition {
	t.Helper()
	var reading []*partition
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		reading = nil
		for _, h := range r.assignments {
			if p := h.reading.Load(); p != nil {
				reading = append(reading, p)
			}
		}
		return len(reading) == r.streams.Partitions
	}, soon, poll)
	return reading
}

// loseBucket deletes the bucket of leases, as an operator may by mistake.
func loseBucket(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	unguarded, err := jetstream.New(js.Conn())
	require.NoError(t, err)
	require.NoError(t, unguarded.DeleteKeyValue(testContext(t), bus.BucketStarters))
}

// TestReader_BucketOfLeasesLost: while a reader counts on its leases, whose keys were lost, no other one acquires them: neither
// one that knew the bucket nor one that starts. The reader goes on, and stores its keys again at once. The TTL is so long that
// nothing expires.
func TestReader_BucketOfLeasesLost(t *testing.T) {
	t.Parallel()
	o := bus.StreamOptions{Partitions: 2, StarterTTL: time.Hour}
	server, js, _ := setup(t, o)
	holder, other := manualReader(t, js, o, "holder"), manualReader(t, connectTo(t, server), o, "other")
	require.NoError(t, holder.rebalance(testContext(t)))
	held := requireReading(t, holder)
	require.NoError(t, other.rebalance(testContext(t)))
	require.Empty(t, other.Partitions())

	loseBucket(t, js)
	require.NoError(t, other.rebalance(testContext(t)))
	require.Empty(t, other.Partitions(), "knew the bucket")
	started := manualReader(t, connectTo(t, server), o, "started")
	require.NoError(t, started.rebalance(testContext(t)))
	require.Empty(t, started.Partitions(), "sees an empty bucket, and consumers that are older")

	require.NoError(t, holder.rebalance(testContext(t)))
	require.Len(t, holder.Partitions(), 2, "what it would release, no other may acquire")
	for _, p := range held {
		require.Eventually(t, func() bool {
			entry, err := p.lease.bucket.Get(testContext(t), p.lease.key)
			return err == nil && string(entry.Value()) == holder.owner
		}, soon, poll)
		require.True(t, p.lease.valid())
	}
	members, leased, err := other.listKeys(testContext(t))
	require.NoError(t, err)
	require.Len(t, leased, 2)
	require.ElementsMatch(t, []string{"other", "started", "holder"}, members, "the holder is announced again")
}

// TestReader_BucketSetBack: a bucket that ends earlier than before has lost keys as well.
func TestReader_BucketSetBack(t *testing.T) {
	t.Parallel()
	created, now := time.Now().Add(-time.Hour), time.Now()
	at := func(created time.Time, last uint64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{Created: created, TimeStamp: now, State: jetstream.StreamState{LastSeq: last}}
	}
	for name, c := range map[string]struct {
		then *jetstream.StreamInfo
		lost bool
	}{
		"as it was":     {at(created, 9), false},
		"written":       {at(created, 10), false},
		"set back":      {at(created, 8), true},
		"created again": {at(now, 10), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f freshBucket
			require.False(t, f.look(at(created, 9), time.Minute))
			require.False(t, f.until.After(time.Now()), "it is older than any lease")
			require.Equal(t, c.lost, f.look(c.then, time.Minute))
			require.Equal(t, c.lost, f.until.After(time.Now()))
		})
	}
}

// TestReader_NewInstallation: the first readers of an installation wait for nothing, although its bucket is new.
func TestReader_NewInstallation(t *testing.T) {
	t.Parallel()
	o := bus.StreamOptions{Partitions: 2, StarterTTL: time.Hour}
	_, js, _ := setup(t, o)
	first := manualReader(t, js, o, "first")
	require.NoError(t, first.rebalance(testContext(t)))
	requireReading(t, first)
	stopReader(t, first)
	next := manualReader(t, js, o, "next")
	require.Eventually(t, func() bool { // the first one is not removed from the list: it was not started
		require.NoError(t, removeKey(testContext(t), next.streams.BucketLog(bus.BucketStarters), first.name, first.revision))
		require.NoError(t, next.rebalance(testContext(t)))
		return len(next.Partitions()) == 2
	}, soon, poll)
}

// TestLease_ReleaseAfterLostBucket: the revision of a lease of a bucket that was lost does not count in the next one: the key of
// the next holder stays.
func TestLease_ReleaseAfterLostBucket(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{StarterTTL: time.Hour})
	old, err := acquireLease(testContext(t), streams, 0, "old")
	require.NoError(t, err)
	require.NoError(t, old.refresh())
	require.NoError(t, old.refresh())
	loseBucket(t, js)
	next, err := acquireLease(testContext(t), streams, 0, "next")
	require.NoError(t, err)
	require.ErrorIs(t, old.refresh(), errTaken)
	require.NoError(t, old.release(testContext(t)))
	entry, err := streams.Bucket(bus.BucketStarters).Get(testContext(t), next.key)
	require.NoError(t, err)
	require.Equal(t, "next", string(entry.Value()))
	require.NoError(t, next.refresh())
	require.NoError(t, next.release(testContext(t)))
}

package eventreader

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestLease_EndsBeforeItsKey: a holder counts on its lease for three quarters of the time that its key exists, from the
// moment it sent the request. The rest keeps it apart from the next holder.
func TestLease_EndsBeforeItsKey(t *testing.T) {
	t.Parallel()
	const ttl = time.Hour
	_, _, streams := setup(t, bus.StreamOptions{StarterTTL: ttl})
	before := sinceStart()
	l, err := acquireLease(testContext(t), streams, 0, "me")
	require.NoError(t, err)
	after := sinceStart()
	require.GreaterOrEqual(t, l.until.Load(), before+int64(ttl*3/4))
	require.LessOrEqual(t, l.until.Load(), after+int64(ttl*3/4))

	before = sinceStart()
	require.NoError(t, l.refresh())
	after = sinceStart()
	require.GreaterOrEqual(t, l.until.Load(), before+int64(ttl*3/4))
	require.LessOrEqual(t, l.until.Load(), after+int64(ttl*3/4))
	require.NoError(t, l.release(testContext(t)))
}

// TestLease_LostWhileThePausedProcessHolds: a lease that ended while the process was stopped is lost when it goes on, even
// if a refresh would succeed.
func TestLease_LostWhileThePausedProcessHolds(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, bus.StreamOptions{StarterTTL: time.Hour})
	l, err := acquireLease(testContext(t), streams, 0, "me")
	require.NoError(t, err)
	l.until.Store(sinceStart())
	require.False(t, l.valid())
	require.Error(t, l.ctx.Err())
	require.NoError(t, l.release(testContext(t)))
}

// TestReader_ChecksTheLeaseBeforeAHandler: a reader that was stopped for longer than its lease calls no handler when it
// goes on, although nothing has noticed the loss yet. The TTL is so long that no refresh comes in between.
func TestReader_ChecksTheLeaseBeforeAHandler(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1, StarterTTL: time.Hour})
	var paused atomic.Bool
	seen := newLedger()
	r := startReader(t, js, streams, Options{Handler: func(_ context.Context, m *Message) Outcome {
		if paused.Load() {
			t.Error("handler called without a lease")
		}
		seen.note(m)
		return Ack()
	}})
	publish(t, js, "c", 1)
	requireEmpty(t, streams)
	p := onlyPartition(t, r)
	paused.Store(true)
	p.lease.until.Store(sinceStart())
	publish(t, js, "c", 2)
	require.Eventually(t, func() bool { return p.lease.ctx.Err() != nil }, soon, poll, "the lease must be checked")
	require.Eventually(t, func() bool { return len(r.Partitions()) == 0 }, soon, poll)
	require.Equal(t, uint64(1), eventsLeft(t, streams))
}

// TestReader_PausedReaderHandsOver: the handlers of a reader that loses its lease end, and another reader handles its
// events in order.
func TestReader_PausedReaderHandsOver(t *testing.T) {
	t.Parallel()
	server, js, streams := setup(t, bus.StreamOptions{Partitions: 1, StarterTTL: shortLease})
	const conversations, each = 5, 8
	entered, ended := make(chan struct{}, conversations), make(chan struct{}, conversations)
	paused := NewReader(js, streams, Options{Name: "paused", Handler: func(ctx context.Context, _ *Message) Outcome {
		notify(entered)
		<-ctx.Done()
		notify(ended)
		return Retry("cancelled", ctx.Err())
	}})
	require.NoError(t, paused.Start(testContext(t)))
	for n := range each {
		for c := range conversations {
			publish(t, js, fmt.Sprintf("c-%d", c), n)
		}
	}
	for range conversations {
		<-entered
	}
	p := onlyPartition(t, paused)
	seen := newLedger()
	otherJS := connectTo(t, server)
	otherStreams, err := bus.Setup(testContext(t), otherJS, bus.StreamOptions{})
	require.NoError(t, err)
	p.lease.until.Store(sinceStart()) // as after a pause
	go func() { _ = paused.Stop(context.Background()) }()
	startReader(t, otherJS, otherStreams, Options{Name: "next", Handler: func(_ context.Context, m *Message) Outcome {
		if !m.TakenOver {
			t.Error("an event of an earlier reader must be marked as taken over")
		}
		seen.note(m)
		return Ack()
	}})
	for range conversations {
		<-ended
	}
	requireEmpty(t, streams)
	require.Equal(t, conversations*each, seen.distinct())
	seen.requireOrder(t)
	stopReader(t, paused)
}

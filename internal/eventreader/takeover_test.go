package eventreader

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func requireShares(t *testing.T, a, b *Reader, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		pa, pb := a.Partitions(), b.Partitions()
		return len(pa) == n && len(pb) == n && !slices.ContainsFunc(pa, func(p int) bool { return slices.Contains(pb, p) })
	}, soon, poll, "the partitions are not shared")
}

// Two starters share the partitions under load; one loses its connection for good while its handlers hold events. The
// other one takes over: every event is handled, and the events of each conversation in order.
func TestTakeover_KillingAStarterLosesNothingAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	server, js, streams := setup(t, bus.StreamOptions{StarterTTL: shortLease})
	const conversations, before, during = 60, 10, 10
	seen := newLedger()
	stuck := make(chan struct{}, conversations)

	doomedJS := connectTo(t, server)
	doomedStreams, err := bus.Setup(testContext(t), doomedJS, bus.StreamOptions{})
	require.NoError(t, err)
	hold := func(ctx context.Context, m *Message) Outcome {
		if m.Data[0] >= '4' {
			notify(stuck) // From its fifth event on a conversation is held here, and dies with this starter.
			<-ctx.Done()
			return Retry("cancelled", ctx.Err())
		}
		return seen.handle(ctx, m)
	}
	doomed := NewReader(doomedJS, doomedStreams, Options{Name: "doomed", Handler: hold})
	require.NoError(t, doomed.Start(testContext(t)))
	defer stopReader(t, doomed)
	heir := startReader(t, js, streams, Options{Name: "heir", Handler: seen.handle})
	requireShares(t, doomed, heir, streams.Partitions/2)

	for n := range before {
		for i := range conversations {
			publish(t, js, fmt.Sprintf("c-%d", i), n)
		}
	}
	<-stuck
	doomedJS.Conn().Close()
	for n := range during {
		for i := range conversations {
			publish(t, js, fmt.Sprintf("c-%d", i), before+n)
		}
	}
	requireEmpty(t, streams)
	require.Equal(t, conversations*(before+during), seen.distinct())
	seen.requireOrder(t)
	require.Eventually(t, func() bool { return len(heir.Partitions()) == streams.Partitions }, soon, poll)
}

func TestTakeover_StarterThatStopsHandsItsPartitionsOver(t *testing.T) {
	t.Parallel()
	server, js, streams := setup(t, bus.StreamOptions{StarterTTL: shortLease})
	seen := newLedger()
	otherJS := connectTo(t, server)
	otherStreams, err := bus.Setup(testContext(t), otherJS, bus.StreamOptions{})
	require.NoError(t, err)
	first := startReader(t, js, streams, Options{Name: "a", Handler: seen.handle})
	second := NewReader(otherJS, otherStreams, Options{Name: "b", Handler: seen.handle})
	require.Eventually(t, func() bool { return len(first.Partitions()) == streams.Partitions }, soon, poll)
	require.NoError(t, second.Start(testContext(t)))

	const conversations, events = 20, 50
	published := make(chan error, 1)
	go func() { published <- publishAll(testContext(t), js, conversations, events) }()
	requireShares(t, first, second, streams.Partitions/2)
	stopReader(t, second)
	require.NoError(t, <-published)
	requireEmpty(t, streams)
	require.Equal(t, conversations*events, seen.distinct())
	seen.requireOrder(t)
	require.Eventually(t, func() bool { return len(first.Partitions()) == streams.Partitions }, soon, poll)
}

// Deliveries that the server sent and we never got come again only after AckWait, behind newer events. The hole in the
// consumer's sequence gives them away.
func TestReader_LostDeliveryIsFoundInTheStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	reader, err := streams.Events().CreateConsumer(testContext(t), newPartition(
		NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()}, nil).consumerConfig())
	require.NoError(t, err)
	for n := range 6 {
		publish(t, js, "c", n)
	}
	// An earlier reader got four, acknowledged the second and died.
	batch, err := reader.Fetch(4, jetstream.FetchMaxWait(soon), jetstream.FetchPriorityGroup(group))
	require.NoError(t, err)
	var got []jetstream.Msg
	for m := range batch.Messages() {
		got = append(got, m)
	}
	require.Len(t, got, 4)
	require.NoError(t, got[1].DoubleAck(testContext(t)))

	seen := newLedger()
	startReader(t, js, streams, Options{AckWait: time.Hour, Handler: seen.handle})
	requireEmpty(t, streams)
	require.Equal(t, []uint64{1, 3, 4, 5, 6}, seen.seen["c"])
}

// The connection breaks while a starter reads: what was on the wire is found again, in order, and nothing runs twice.
func TestTakeover_ReconnectLosesNothing(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 2, StarterTTL: shortLease})
	seen := newLedger()
	startReader(t, js, streams, Options{Handler: seen.handle})
	const events = 200
	for n := range events {
		publish(t, js, fmt.Sprintf("c-%d", n%5), n)
		if n%50 == 25 {
			require.NoError(t, js.Conn().ForceReconnect())
		}
	}
	requireEmpty(t, streams)
	require.Equal(t, events, seen.distinct())
	seen.requireOrder(t)
}

// The server is gone for longer than a claim lasts: the starter lets go of what it holds, and finds it again
// afterwards.
func TestTakeover_OutageOfTheServerLosesNothingAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startServerAt(t, -1, dir)
	port := first.Addr().(*net.TCPAddr).Port
	js := connectTo(t, first)
	streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 2, StarterTTL: shortLease})
	require.NoError(t, err)
	seen := newLedger()
	entered := make(chan struct{}, 100)
	var up atomic.Bool
	c := startReader(t, js, streams, Options{Handler: func(ctx context.Context, m *Message) Outcome {
		if !up.Load() {
			notify(entered)
			<-ctx.Done()
			return Retry("cancelled", ctx.Err())
		}
		seen.note(m)
		return Ack()
	}})
	const conversations, events = 6, 5
	for n := range conversations * events {
		publish(t, js, fmt.Sprintf("c-%d", n%conversations), n)
	}
	for range conversations {
		<-entered
	}
	first.Shutdown()
	first.WaitForShutdown()
	require.Eventually(t, func() bool { return len(c.Partitions()) == 0 }, soon, poll)
	up.Store(true)
	startServerAt(t, port, dir)
	for n := range conversations * events {
		publish(t, js, fmt.Sprintf("c-%d", n%conversations), 1000+n)
	}
	requireEmpty(t, streams)
	require.Equal(t, 2*conversations*events, seen.distinct())
	seen.requireOrder(t)
}

func TestAssign(t *testing.T) {
	t.Parallel()
	for _, members := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}, {"a", "b", "c", "d", "e", "f", "g", "h", "i"}} {
		assigned := assign(8, members)
		var all []int
		for _, member := range members {
			require.LessOrEqual(t, len(assigned[member]), (8+len(members)-1)/len(members))
			all = append(all, assigned[member]...)
		}
		slices.Sort(all)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7}, all)
		turned := slices.Clone(members)
		slices.Reverse(turned)
		require.Equal(t, assigned, assign(8, turned), "the order in which members are seen must not matter")
	}
}

// TestReader_UnknownRedeliveryIsHandled: an event that this reader believes to have handled, and that JetStream delivers
// all the same, goes to the handler again. It is not acknowledged unseen: the reader may have missed it.
func TestReader_UnknownRedeliveryIsHandled(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	seen := newLedger()
	r := startReader(t, js, streams, Options{Handler: func(_ context.Context, m *Message) Outcome {
		if m.Conversation != "first" && !m.TakenOver {
			t.Error("an event that may have been handled must be marked")
		}
		seen.note(m)
		return Ack()
	}})
	p := onlyPartition(t, r)
	publish(t, js, "first", 0)
	requireEmpty(t, streams) // the partition is being read
	p.intake.Lock()
	p.high = 1000 // as after a wrong "not found" from the stream
	p.intake.Unlock()
	for n := range 20 {
		publish(t, js, fmt.Sprintf("c-%d", n%3), n)
	}
	requireEmpty(t, streams)
	require.Equal(t, 21, seen.distinct())
	seen.requireOrder(t)
}

// TestReader_EventsRemovedFromTheStream: a queue whose events were removed from the stream ends, and the next event of its
// conversation is handled.
func TestReader_EventsRemovedFromTheStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	entered, release := make(chan struct{}), make(chan struct{})
	seen := newLedger()
	r := startReader(t, js, streams, Options{AckWait: 10 * time.Second, Handler: func(_ context.Context, m *Message) Outcome {
		if string(m.Data) == "0" {
			close(entered)
			<-release
		}
		seen.note(m)
		return Ack()
	}})
	for n := range 10 {
		publish(t, js, "c", n)
	}
	<-entered
	require.Eventually(t, func() bool { return r.Stats().Waiting == 10 }, soon, poll)
	require.NoError(t, streams.Events().Purge(testContext(t)))
	close(release)
	require.Eventually(t, func() bool { return r.Stats().Conversations == 0 }, soon, poll)
	publish(t, js, "c", 11)
	requireEmpty(t, streams)
	require.Equal(t, 2, seen.count("c"))
	require.Eventually(t, func() bool { return onlyPartition(t, r).deliveries(5) == 0 }, soon, poll, "removed events are forgotten")
}

package eventreader

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// fallible is a server whose event stream can be set back to an earlier copy, with streams of one partition.
type fallible struct {
	t         *testing.T
	dir, kept string
	port      int
	server    *server.Server
	js        jetstream.JetStream
	streams   bus.Streams
}

func startFallible(t *testing.T) *fallible {
	t.Helper()
	f := &fallible{t: t, dir: t.TempDir(), kept: filepath.Join(t.TempDir(), "events")}
	f.server = startServerAt(t, server.RANDOM_PORT, f.dir)
	address, ok := f.server.Addr().(*net.TCPAddr)
	require.True(t, ok)
	f.port = address.Port
	f.js = connectTo(t, f.server)
	var err error
	f.streams, err = bus.Setup(testContext(t), f.js, bus.StreamOptions{Partitions: 1, StarterTTL: longLease})
	require.NoError(t, err)
	return f
}

// restart calls a function with the directory of the event stream while the server is down, and waits for the connection.
func (f *fallible) restart(meanwhile func(stream string)) {
	f.t.Helper()
	f.server.Shutdown()
	f.server.WaitForShutdown()
	found, err := filepath.Glob(filepath.Join(f.dir, "jetstream", "*", "streams", schemas.StreamEvents))
	require.NoError(f.t, err)
	require.Len(f.t, found, 1)
	meanwhile(found[0])
	f.server = startServerAt(f.t, f.port, f.dir)
	require.Eventually(f.t, func() bool {
		ctx, cancel := context.WithTimeout(testContext(f.t), time.Second)
		defer cancel()
		_, err := f.js.AccountInfo(ctx)
		return err == nil
	}, soon, poll)
}

// keep copies the event stream and its consumer.
func (f *fallible) keep() {
	f.t.Helper()
	f.restart(func(stream string) { require.NoError(f.t, os.CopyFS(f.kept, os.DirFS(stream))) })
}

// setBack replaces the event stream and its consumer by the copy: the server has lost what it stored since. edit changes the
// copy.
func (f *fallible) setBack(edit func(stream string)) {
	f.t.Helper()
	f.restart(func(stream string) {
		require.NoError(f.t, os.RemoveAll(stream))
		require.NoError(f.t, os.CopyFS(stream, os.DirFS(f.kept)))
		edit(stream)
	})
}

func unchanged(string) {}

// TestReader_SequenceOfAnotherEvent: while an event is handled, the server loses it and gives its sequence to a new one. The
// acknowledgement of the first one is not one of the second.
func TestReader_SequenceOfAnotherEvent(t *testing.T) {
	t.Parallel()
	for name, conversation := range map[string]string{"another conversation": "new", "the same conversation": "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFallible(t)
			entered, release, acknowledged := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
			var handled atomic.Int32
			r := startReader(t, f.js, f.streams, Options{MaxInFlight: 1, Handler: func(_ context.Context, m *Message) Outcome {
				switch string(m.Data) {
				case "1":
					notify(entered)
					<-release
				case "2":
					handled.Add(1)
					<-acknowledged
				}
				return Ack()
			}})
			publish(t, f.js, "old", 0)
			requireEmpty(t, f.streams)
			f.keep()
			lost := publish(t, f.js, "old", 1)
			<-entered
			p := onlyPartition(t, r)
			require.Eventually(t, func() bool { return p.deliveries(lost) == 1 }, soon, poll)
			f.setBack(unchanged)
			require.Equal(t, lost, publish(t, f.js, conversation, 2), "the sequence comes again")
			require.Eventually(t, func() bool { return r.Stats().Waiting == 2 }, soon, poll, "the new event waits for the slot")
			close(release)
			require.Eventually(t, func() bool { return handled.Load() == 1 && p.waiting(1) }, soon, poll)
			require.NoError(t, p.flushAcks(testContext(t)))
			require.EqualValues(t, 1, eventsLeft(t, f.streams), "the new event is being handled")
			close(acknowledged)
			requireEmpty(t, f.streams)
			require.EqualValues(t, 1, handled.Load())
		})
	}
}

// holdTwo is a handler that holds the events "held" and "old" until their channels are closed.
type holdTwo struct {
	*ledger

	entered   chan struct{}
	held, old chan struct{}
}

func newHoldTwo() *holdTwo {
	return &holdTwo{newLedger(), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

func (h *holdTwo) handle(_ context.Context, m *Message) Outcome {
	switch m.Conversation {
	case "held":
		<-h.held
	case "old":
		notify(h.entered)
		<-h.old
	}
	h.note(m)
	return Ack()
}

// waiting reports whether a number of conversations wait, and no acknowledgement does.
func (p *partition) waiting(conversations int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queues) == conversations && len(p.acking) == 0
}

// TestReader_SequenceOfAnotherEventReadAhead: as above, with an event that JetStream did not deliver. It is deleted by its
// sequence, and the new event is not.
func TestReader_SequenceOfAnotherEventReadAhead(t *testing.T) {
	t.Parallel()
	f := startFallible(t)
	h := newHoldTwo()
	r := startReader(t, f.js, f.streams, Options{MaxAckPending: 1, Handler: h.handle})
	held := publish(t, f.js, "held", 0)
	p := onlyPartition(t, r)
	require.Eventually(t, func() bool { return p.deliveries(held) == 1 }, soon, poll)
	f.keep()
	lost := publish(t, f.js, "old", 1)
	<-h.entered
	f.setBack(unchanged)
	require.Equal(t, lost, publish(t, f.js, "new", 2), "the sequence comes again")
	close(h.old)
	require.Eventually(t, func() bool { return p.waiting(1) }, soon, poll)
	require.EqualValues(t, 2, eventsLeft(t, f.streams))
	close(h.held)
	requireEmpty(t, f.streams)
	require.Equal(t, 1, h.count("new"))
}

// TestReader_SequenceOfAnotherEventCreatedAgain: as above, with a stream that was deleted and created again by a process
// that had not seen it, so that its sequences begin at 1. The connection stays.
func TestReader_SequenceOfAnotherEventCreatedAgain(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	h := newHoldTwo()
	r := startReader(t, js, streams, Options{MaxAckPending: 1, Handler: h.handle})
	publish(t, js, "held", 0)
	p := onlyPartition(t, r)
	lost := publish(t, js, "old", 1)
	<-h.entered
	createFromOne(t, js, streams.Events().CachedInfo().Config)
	require.Zero(t, eventsLeft(t, streams))
	publish(t, js, "new", 2)
	require.Equal(t, lost, publish(t, js, "new", 3), "the sequence comes again")
	close(h.old)
	require.Eventually(t, func() bool { return p.waiting(1) }, soon, poll)
	close(h.held)
	requireEmpty(t, streams)
	require.Equal(t, 2, h.count("new"))
}

// createFromOne deletes a stream and creates it again with sequences from 1 on. The process under test may be faster.
func createFromOne(t *testing.T, js jetstream.JetStream, config jetstream.StreamConfig) {
	t.Helper()
	config.FirstSeq = 0
	require.Eventually(t, func() bool {
		require.NoError(t, js.DeleteStream(testContext(t), config.Name))
		created, err := js.CreateStream(testContext(t), config)
		return err == nil && created.CachedInfo().Config.FirstSeq <= 1
	}, soon, poll)
}

// TestDelivery_Trusted: a delivery from before an interruption may have the sequence of another event.
func TestDelivery_Trusted(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	release := make(chan struct{})
	r := startReader(t, js, streams, Options{Handler: func(context.Context, *Message) Outcome { <-release; return Ack() }})
	publish(t, js, "c", 0)
	p := onlyPartition(t, r)
	require.Eventually(t, func() bool { return p.deliveries(1) == 1 }, soon, poll)
	trusted := func(change func(d *delivery)) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, d := range p.pending {
			before := *d
			require.NotEmpty(t, before.pin)
			change(&before)
			return p.trusted(&before)
		}
		return false
	}
	require.True(t, trusted(func(*delivery) {}))
	require.False(t, trusted(func(d *delivery) { d.pin = "of another leader" }))
	require.NoError(t, js.Conn().ForceReconnect())
	require.False(t, trusted(func(*delivery) {}), "the connection was interrupted, or is")
	require.Eventually(t, js.Conn().IsConnected, soon, poll)
	require.False(t, trusted(func(*delivery) {}), "the connection was interrupted")
	close(release)
	requireEmpty(t, streams)
}

// TestReader_NoRequestForAnAcknowledgement: in quiet operation no event is read from the stream, neither to be handled nor
// for its acknowledgement.
func TestReader_NoRequestForAnAcknowledgement(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, bus.StreamOptions{Partitions: 1})
	var read atomic.Int32
	streams, err := bus.Setup(testContext(t), hooked{JetStream: js, beforeGet: func() { read.Add(1) }}, bus.StreamOptions{})
	require.NoError(t, err)
	seen := newLedger()
	r := startReader(t, js, streams, Options{Handler: seen.handle})
	onlyPartition(t, r)
	for n := range 20 {
		publish(t, js, "c", n)
		requireEmpty(t, streams)
	}
	require.Zero(t, read.Load())
	require.Equal(t, 20, seen.distinct())
}

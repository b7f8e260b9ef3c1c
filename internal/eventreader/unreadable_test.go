package eventreader

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natstest"
)

// publishUnreadable publishes three events of one conversation whose headers cannot be read, and one of another tenant behind
// them. Of the three, the second and third are read from the stream.
func publishUnreadable(t *testing.T, s *server.Server, js jetstream.JetStream, header string) {
	t.Helper()
	for n := range 3 {
		natstest.PublishRaw(t, s, eventRoot+"acme.shop.c", header, fmt.Sprint(n))
	}
	publishRaw(t, js, &nats.Msg{Subject: eventRoot + "other.shop.o", Data: []byte("x")})
}

// TestReader_UnreadableHeader: an event whose headers cannot be read does not have any, however it is read. It does not stop
// its conversation, and not its partition.
func TestReader_UnreadableHeader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		block  string
		header nats.Header
	}{
		"unreadable": {natstest.UnreadableHeader, nil},
		"split":      {natstest.SplitHeader, nats.Header{"X-Note": {"a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
			seen := newLedger()
			startReader(t, js, streams, Options{Handler: func(ctx context.Context, m *Message) Outcome {
				if m.Conversation == "c" && fmt.Sprint(m.Header) != fmt.Sprint(c.header) {
					t.Errorf("headers of event %d: %v", m.Sequence, m.Header)
				}
				return seen.handle(ctx, m)
			}})
			publishUnreadable(t, s, js, c.block)
			requireEmpty(t, streams)
			require.Equal(t, map[uint64]int{1: 1, 2: 1, 3: 1, 4: 1}, seen.runs)
			seen.requireOrder(t)
		})
	}
}

// TestTakeover_UnreadableHeader: a reader that takes over reads all that an earlier one has left.
func TestTakeover_UnreadableHeader(t *testing.T) {
	t.Parallel()
	s, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	entered := make(chan struct{}, 10)
	first := NewReader(js, streams, Options{AckWait: time.Hour, Handler: func(ctx context.Context, _ *Message) Outcome {
		notify(entered)
		<-ctx.Done()
		return Retry("cancelled", ctx.Err())
	}})
	require.NoError(t, first.Start(testContext(t)))
	publishUnreadable(t, s, js, natstest.UnreadableHeader)
	<-entered
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, first.Stop(ctx), context.Canceled)
	seen := newLedger()
	startReader(t, js, streams, Options{Handler: seen.handle})
	requireEmpty(t, streams)
	require.Equal(t, map[uint64]int{1: 1, 2: 1, 3: 1, 4: 1}, seen.runs)
	seen.requireOrder(t)
}

// TestPartition_UnknownPin: a delivery whose pin cannot be read is not trusted, and does not change the pin of the others.
func TestPartition_UnknownPin(t *testing.T) {
	t.Parallel()
	s, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	held, release := context.WithCancel(t.Context())
	r := startReader(t, js, streams, Options{AckWait: time.Hour, Handler: func(context.Context, *Message) Outcome {
		<-held.Done()
		return Ack()
	}})
	defer release()
	p := onlyPartition(t, r)
	// requireTrusted waits until an event is delivered, and compares which of all are trusted.
	requireTrusted := func(sequence uint64, want map[uint64]bool) {
		require.Eventually(t, func() bool { return p.deliveries(sequence) == 1 }, soon, poll)
		trusted := map[uint64]bool{}
		p.mu.Lock()
		defer p.mu.Unlock()
		for id, d := range p.pending {
			trusted[id.Sequence] = p.trusted(d)
		}
		require.Equal(t, want, trusted)
	}
	natstest.PublishRaw(t, s, eventRoot+"acme.shop.a", natstest.UnreadableHeader, "x")
	requireTrusted(1, map[uint64]bool{1: false})
	publishRaw(t, js, &nats.Msg{Subject: eventRoot + "acme.shop.b", Data: []byte("x")})
	publishRaw(t, js, &nats.Msg{Subject: eventRoot + "acme.shop.c", Data: []byte("x"), Header: nats.Header{pinHeader: {"forged"}}})
	natstest.PublishRaw(t, s, eventRoot+"acme.shop.d", natstest.UnreadableHeader, "x")
	requireTrusted(4, map[uint64]bool{1: false, 2: true, 3: true, 4: false})
	release()
	requireEmpty(t, streams)
}

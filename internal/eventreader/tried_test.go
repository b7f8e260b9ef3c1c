package eventreader

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
)

// failingOnce is a JetStream that does not store the first message that it publishes.
type failingOnce struct {
	jetstream.JetStream

	published *atomic.Int64
}

func (f failingOnce) PublishMsg(
	ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	if f.published.Add(1) == 1 {
		return nil, errors.New("away")
	}
	return f.JetStream.PublishMsg(ctx, m, opts...)
}

// TestReader_TriedAfterFailedWrite: a handler that is called again for an event whose dead letter was not stored can see it.
func TestReader_TriedAfterFailedWrite(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	tried := make(chan bool, 10)
	startReader(t, failingOnce{js, &atomic.Int64{}}, streams, Options{Handler: func(_ context.Context, m *Message) Outcome {
		tried <- m.Tried
		return DeadLetter(fault.BadEvent, "bad")
	}})
	publish(t, js, "c", 0)
	require.False(t, <-tried)
	require.True(t, <-tried)
	onlyLetter(t, bus.NewDeadLetters(js, streams))
	requireEmpty(t, streams)
	publish(t, js, "c", 1)
	require.False(t, <-tried, "another event")
	requireEmpty(t, streams)
}

// TestQueue_Tried: an event that was tried stays one when an earlier event, which JetStream delivers again, goes first.
func TestQueue_Tried(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	p := newPartition(NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()}, nil)
	defer p.cancel()
	stored, received := strings.Replace(streams.PartitionFilter(0), ">", "acme.shop.c", 1), time.Now()
	at := func(sequence uint64) *Message {
		return &Message{Sequence: sequence, Received: received, stored: stored, tenant: "acme"}
	}
	p.mu.Lock()
	p.closing = true // tasks do not run
	p.backlogs["acme"] = &backlog{}
	p.enqueue(p.backlogs["acme"], at(5))
	q := p.queues[stored]
	p.mu.Unlock()
	begin := func(sequence uint64) *Message {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.start(q, at(sequence))
	}
	m := begin(5)
	require.False(t, m.Tried)
	p.retryLater(q, m, Retry("away", errors.New("away")))
	p.mu.Lock()
	p.handleAgain(at(3))
	p.mu.Unlock()
	require.False(t, begin(3).Tried)
	p.mu.Lock()
	q.finish(0)
	p.next(q)
	p.mu.Unlock()
	require.True(t, begin(5).Tried)
	p.mu.Lock()
	defer p.mu.Unlock()
	q.finish(0)
	require.Empty(t, q.tried)
	require.True(t, q.empty())
}

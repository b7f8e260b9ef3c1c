package eventreader

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// queueOfMissing returns a partition, whose stream is empty, with its log, and a maker of events of one conversation.
// beforeRead is called before an event is read.
func queueOfMissing(t *testing.T, beforeRead func()) (*partition, *bytes.Buffer, func(sequence uint64) *Message) {
	t.Helper()
	_, js, _ := setup(t, bus.StreamOptions{Partitions: 1})
	streams, err := bus.Setup(testContext(t), hooked{JetStream: js, beforeRead: beforeRead}, bus.StreamOptions{})
	require.NoError(t, err)
	var log bytes.Buffer
	p := newPartition(NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()},
		slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(p.cancel)
	p.closing = true // tasks do not run
	stored := strings.Replace(streams.PartitionFilter(0), ">", "acme.shop.c", 1)
	received := time.Now()
	return p, &log, func(sequence uint64) *Message {
		return &Message{Sequence: sequence, Received: received, stored: stored, tenant: "acme", wire: int64(sequence)}
	}
}

// requireNothingNext takes the next turn of a queue, in which no event is found.
func requireNothingNext(t *testing.T, p *partition, q *conversationQueue) {
	t.Helper()
	m, err := p.first(q)
	require.NoError(t, err)
	require.Nil(t, m)
}

// TestQueue_MissingAgain: an event that is delivered again is not in the stream when its turn comes, and an earlier one is
// delivered again while the stream is read. The earlier one stays.
func TestQueue_MissingAgain(t *testing.T) {
	t.Parallel()
	var beforeRead func()
	p, log, at := queueOfMissing(t, func() { beforeRead() })
	again := func(sequence uint64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.handleAgain(at(sequence))
	}
	again(7)
	q := p.queues[at(7).stored]
	beforeRead = func() { again(5) }
	requireNothingNext(t, p, q)
	require.Equal(t, []againEvent{{at(5).StoredID(), at(5).space()}}, q.again)
	require.Equal(t, 1, q.waiting)
	require.Equal(t, at(5).space(), q.bytes)
	require.Contains(t, log.String(), "sequence=7")

	beforeRead = func() {}
	requireNothingNext(t, p, q)
	require.True(t, q.empty())
	require.Zero(t, q.waiting)
	require.Zero(t, q.bytes)
}

// TestQueue_Missing: events that are known by their position are not in the stream when their turn comes. They do not count
// as waiting any more; one that comes while the stream is read does.
func TestQueue_Missing(t *testing.T) {
	t.Parallel()
	var beforeRead func()
	p, log, at := queueOfMissing(t, func() { beforeRead() })
	put := func(sequence uint64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		b := p.backlogs["acme"]
		if b == nil {
			b = &backlog{}
			p.backlogs["acme"] = b
		}
		p.enqueue(b, at(sequence))
	}
	put(5)
	put(7)
	q := p.queues[at(5).stored]
	p.unkeep(q)
	beforeRead = func() { put(9) }
	requireNothingNext(t, p, q)
	require.False(t, q.empty(), "the new event is still to be read")
	require.Empty(t, log.String())

	beforeRead = func() {}
	requireNothingNext(t, p, q)
	require.True(t, q.empty())
	require.Zero(t, q.waiting)
	require.Zero(t, q.bytes)
	require.Contains(t, log.String(), "first=5 last=9")
}

// TestBacklog_Missing: parked events that are not in the stream any more are logged, and the tenant is not parked by them.
func TestBacklog_Missing(t *testing.T) {
	t.Parallel()
	p, log, _ := queueOfMissing(t, nil)
	p.closing = false
	b := &backlog{parked: true, read: 4, upTo: 9, bytes: 100}
	p.unpark("acme", b, nil, 7)
	require.True(t, b.parked, "an event came while the stream was read")
	require.Empty(t, log.String())
	p.unpark("acme", b, nil, 9)
	require.False(t, b.parked)
	require.Zero(t, b.bytes)
	require.Contains(t, log.String(), "first=8 last=9")
}

// TestQueue_SequencesOfOtherEvents: a queue knows an event in memory by more than its sequence.
func TestQueue_SequencesOfOtherEvents(t *testing.T) {
	t.Parallel()
	at := func(sequence uint64, received int64) *Message {
		return &Message{Sequence: sequence, Received: time.Unix(received, 0)}
	}
	q := &conversationQueue{done: 4, upTo: 9, kept: at(5, 1)}
	require.True(t, q.has(at(5, 1).StoredID()))
	require.False(t, q.has(at(5, 2).StoredID()), "the first event is in memory")
	require.True(t, q.has(at(6, 2).StoredID()), "the second one is read when its turn comes")
	q.kept, q.current = nil, at(5, 1).StoredID()
	require.True(t, q.has(at(5, 1).StoredID()))
	require.False(t, q.has(at(5, 2).StoredID()), "another one is being handled")
	q.addAgain(at(5, 2))
	require.True(t, q.has(at(5, 2).StoredID()))
	q.finish(0)
	require.EqualValues(t, 5, q.done)
	require.Len(t, q.again, 1, "the event that is handled is not the one that was delivered")
	require.True(t, q.has(at(5, 2).StoredID()))
}

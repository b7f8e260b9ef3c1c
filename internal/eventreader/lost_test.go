package eventreader

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// TestReader_ServerLostItsLastWrites: a single server that loses power forgets acknowledgements that it had received, and with
// them whom it has delivered events to. It delivers them again, and counts that as the first delivery. The handler learns
// that it may know them.
func TestReader_ServerLostItsLastWrites(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, consumer string){
		"the consumer's state": func(t *testing.T, consumer string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(filepath.Join(consumer, "o.dat"))) // a server may not have written it yet
		},
		"the consumer": func(t *testing.T, consumer string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(consumer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFallible(t)
			js, streams := f.js, f.streams
			var (
				mu      sync.Mutex
				first   = map[uint64]int{}
				again   = map[uint64]int{}
				release = make(chan struct{})
			)
			r := startReader(t, js, streams, Options{AckWait: 2 * time.Second, Handler: func(_ context.Context, m *Message) Outcome {
				<-release
				mu.Lock()
				defer mu.Unlock()
				if m.TakenOver || m.Deliveries > 1 {
					again[m.Sequence]++
				} else {
					first[m.Sequence]++
				}
				return Ack()
			}})
			p := onlyPartition(t, r)
			for n := range 6 {
				publish(t, js, []string{"a", "b"}[n%2], n)
			}
			f.keep()
			close(release)
			requireEmpty(t, streams)
			mu.Lock()
			before := maps.Clone(first)
			clear(again)
			mu.Unlock()
			f.setBack(func(stream string) { lose(t, filepath.Join(stream, "obs", p.name)) })
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(again) == 6
			}, soon, poll)
			publish(t, js, "a", 6)
			requireEmpty(t, streams)
			mu.Lock()
			defer mu.Unlock()
			before[7] = 1
			require.Equal(t, before, first, "an event that was handled may be known, a new one is not")
		})
	}
}

// TestQueue_HandledTwiceIsStillKnown: an event that was delivered again is handled, and acknowledged once more. When its
// queue reads the stream for a newer event before the server has removed it, it comes for the third time, and is still one
// that the handler may know.
func TestQueue_HandledTwiceIsStillKnown(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	p := newPartition(NewReader(js, streams, Options{}), &assignment{}, &lease{ctx: t.Context()}, nil)
	defer p.cancel()
	stored := streams.PartitionFilter(0)
	at := func(sequence uint64) *Message {
		return &Message{Sequence: sequence, stored: strings.Replace(stored, ">", "acme.shop.c", 1), tenant: "acme"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handleAgain(at(5))
	p.handleAgain(at(7))
	q := p.queues[at(5).stored]
	p.enqueue(p.backlogs["acme"], at(9))
	for _, c := range []struct {
		sequence uint64
		known    bool
	}{{5, true}, {7, true}, {7, true}, {9, false}} {
		require.Equal(t, c.known, p.start(q, at(c.sequence)).TakenOver, c.sequence)
		q.finish(0)
	}
}

// TestReader_DeliveredWhileItIsDeleted: an event that was read ahead of JetStream is handled, and JetStream delivers it before
// it has deleted it. The event is not handled again.
func TestReader_DeliveredWhileItIsDeleted(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, bus.StreamOptions{Partitions: 1})
	deleting, goOn := make(chan struct{}), make(chan struct{})
	slow := hooked{JetStream: js, beforeDeletion: func() { close(deleting); <-goOn }}
	streams, err := bus.Setup(testContext(t), slow, bus.StreamOptions{})
	require.NoError(t, err)
	seen, release := newLedger(), make(chan struct{})
	r := startReader(t, js, streams, Options{MaxAckPending: 2, Handler: func(_ context.Context, m *Message) Outcome {
		if m.Conversation == "held" {
			<-release
		}
		return seen.handle(t.Context(), m)
	}})
	p := onlyPartition(t, r)
	for n := range 2 {
		publish(t, js, "held", n)
	}
	ahead := publish(t, js, "ahead", 0)
	<-deleting
	close(release)
	beingDeleted := func() (delivered, is bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for id, d := range p.acking {
			if id.Sequence == ahead {
				return d != nil, true
			}
		}
		return false, false
	}
	require.Eventually(t, func() bool { delivered, _ := beingDeleted(); return delivered }, soon, poll)
	close(goOn)
	requireEmpty(t, streams)
	require.Equal(t, map[uint64]int{1: 1, 2: 1, ahead: 1}, seen.runs)
	require.Eventually(t, func() bool { _, is := beingDeleted(); return !is }, soon, poll)
}

// hooked is a JetStream that calls functions before it reads or deletes a message of a stream; nil: none.
type hooked struct {
	jetstream.JetStream

	beforeRead, beforeDeletion func()
	beforeGet                  func() // of an event by its sequence alone
}

func (h hooked) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := h.JetStream.Stream(ctx, name)
	return hookedStream{stream, h}, err
}

type hookedStream struct {
	jetstream.Stream

	hooks hooked
}

func (s hookedStream) GetMsg(
	ctx context.Context, sequence uint64, opts ...jetstream.GetMsgOpt,
) (*jetstream.RawStreamMsg, error) {
	if s.hooks.beforeRead != nil {
		s.hooks.beforeRead()
	}
	if s.hooks.beforeGet != nil && len(opts) == 0 {
		s.hooks.beforeGet()
	}
	return s.Stream.GetMsg(ctx, sequence, opts...)
}

func (s hookedStream) DeleteMsg(ctx context.Context, sequence uint64) error {
	if s.hooks.beforeDeletion != nil {
		s.hooks.beforeDeletion()
	}
	return s.Stream.DeleteMsg(ctx, sequence)
}

package eventreader

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// handled records the events of each conversation in the order of their handling.
type handled struct {
	first   int           // so many are handled at once
	reached chan struct{} // closed when they are
	goOn    chan struct{} // closed: the others are handled
	mu      sync.Mutex
	of      map[string][]int
	total   int
}

func (h *handled) handle(ctx context.Context, m *Message) Outcome {
	n, err := strconv.Atoi(string(m.Data))
	if err != nil {
		return Retry("test", err)
	}
	h.mu.Lock()
	if h.total >= h.first {
		h.mu.Unlock()
		select {
		case <-h.goOn:
		case <-ctx.Done():
			return Retry("cancelled", ctx.Err())
		}
		h.mu.Lock()
	}
	defer h.mu.Unlock()
	h.of[m.Conversation] = append(h.of[m.Conversation], n)
	if h.total++; h.total == h.first {
		close(h.reached)
	}
	return Ack()
}

func (h *handled) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

// TestReader_PartitionsChangeUnderLoad changes the number of partitions while an engine publishes and starters read, up and
// down: each event is handled once, in the order of its conversation.
func TestReader_PartitionsChangeUnderLoad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to int }{{2, 7}, {7, 2}} {
		t.Run(fmt.Sprintf("%d to %d", c.from, c.to), func(t *testing.T) {
			t.Parallel()
			const conversations, events = 8, 60
			_, js, streams := setup(t, bus.StreamOptions{Partitions: c.from, Sizes: map[string]int64{"events": 64 << 20}})
			h := &handled{
				first: conversations * events / 4, reached: make(chan struct{}), goOn: make(chan struct{}), of: map[string][]int{},
			}
			before := startReader(t, js, streams, Options{Name: "before", Handler: h.handle, closeTimeout: soon})
			published := make(chan error, 1)
			go func() { published <- publishPatiently(testContext(t), js, conversations, events) }()
			<-h.reached // the others wait, so that events of the old layout are there when the change begins
			require.Eventually(t, func() bool { return eventsLeft(t, streams) > conversations }, soon, poll)
			result := make(chan error, 1)
			go func() {
				changed, err := bus.Repartition(testContext(t), js, c.to)
				if err == nil && !changed {
					err = errors.New("not changed")
				}
				result <- err
			}()
			require.Eventually(t, func() bool {
				info, err := streams.Events().Info(testContext(t))
				return err == nil && info.Config.MaxBytes == 1
			}, soon, poll, "the stream does not take events while it is emptied")
			close(h.goOn)
			require.NoError(t, <-result)
			fresh, err := bus.Setup(testContext(t), js, bus.StreamOptions{})
			require.NoError(t, err)
			require.Equal(t, c.to, fresh.Partitions)
			startReader(t, js, fresh, Options{Name: "after", Handler: h.handle})
			stopReader(t, before)

			require.NoError(t, <-published)
			require.Eventually(t, func() bool { return h.count() >= conversations*events }, soon, poll)
			require.Eventually(t, func() bool { return eventsLeft(t, fresh) == 0 }, soon, poll)
			require.Equal(t, conversations*events, h.count(), "an event was handled twice")
			for conversation, order := range h.of {
				for i, n := range order {
					require.Equal(t, i, n, "conversation %s: %v", conversation, order)
				}
			}
			info, err := fresh.Events().Info(testContext(t))
			require.NoError(t, err)
			require.EqualValues(t, 64<<20, info.Config.MaxBytes)
			again, err := bus.Repartition(testContext(t), js, c.to)
			require.NoError(t, err)
			require.False(t, again)
		})
	}
}

// publishPatiently publishes as an engine does: what a full stream rejects is published again.
func publishPatiently(ctx context.Context, js bus.JetStream, conversations, events int) error {
	for n := range events {
		for i := range conversations {
			key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation(fmt.Sprintf("c-%d", i))
			for {
				_, _, err := bus.NewPublisher(js).PublishEvent(ctx, key, fmt.Appendf(nil, "%d", n), fmt.Sprintf("%d-%d", i, n), nil)
				if err == nil {
					break
				}
				if fault.Of(err).Kind != fault.QueueFull || ctx.Err() != nil {
					return err
				}
				select { // the readers that make room need the processor
				case <-ctx.Done():
				case <-time.After(poll):
				}
			}
		}
	}
	return nil
}

// TestReader_PartitionsStayWithoutADrain: events that no starter takes end the change, and the stream takes events again. A
// change that was killed is finished by the next one.
func TestReader_PartitionsStayWithoutADrain(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 2, Sizes: map[string]int64{"events": 64 << 20}})
	publish(t, js, "c", 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := bus.Repartition(ctx, interrupted{JetStream: js, seen: cancel}, 5)
	require.ErrorContains(t, err, "still holds 1 events, nothing was changed")
	publish(t, js, "c", 1)
	require.Equal(t, 2, streams.Partitions)

	killed := streams.Events().CachedInfo().Config
	killed.MaxBytes, killed.Metadata = 1, map[string]string{"hookturn-max-bytes": "67108864"}
	_, err = js.UpdateStream(testContext(t), killed)
	require.NoError(t, err)
	_, err = bus.Repartition(testContext(t), js, 2)
	require.NoError(t, err)
	publish(t, js, "c", 2)
}

// TestRepartition_LostAnswer: the server has closed the stream, and its answer comes too late. The stream takes events again.
func TestRepartition_LostAnswer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 2, Sizes: map[string]int64{"events": 64 << 20}})
	publish(t, js, "c", 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := bus.Repartition(ctx, interrupted{JetStream: js, updated: cancel}, 5)
	require.ErrorIs(t, err, context.Canceled)
	publish(t, js, "c", 1)
	info, err := streams.Events().Info(testContext(t))
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, info.Config.MaxBytes)
	require.Empty(t, info.Config.Metadata["hookturn-max-bytes"])
}

// interrupted is a JetStream whose caller gives up after the server has changed a stream, or after it has seen its state.
type interrupted struct {
	jetstream.JetStream
	updated, seen func()
}

func (i interrupted) UpdateStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := i.JetStream.UpdateStream(ctx, c)
	if i.updated != nil {
		i.updated()
	}
	return stream, errors.Join(err, ctx.Err())
}

func (i interrupted) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := i.JetStream.Stream(ctx, name)
	return interruptedStream{stream, i.seen}, err
}

type interruptedStream struct {
	jetstream.Stream
	seen func()
}

func (s interruptedStream) Info(ctx context.Context, options ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	info, err := s.Stream.Info(ctx, options...)
	if s.seen != nil {
		s.seen()
	}
	return info, err
}

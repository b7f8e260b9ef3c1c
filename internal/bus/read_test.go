package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/patience"
)

// slowStream is a stream whose consumers send nothing in time at first.
type slowStream struct{ jetstream.Stream }

func (s slowStream) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c, err := s.Stream.CreateConsumer(ctx, cfg)
	return &slowConsumer{Consumer: c}, err
}

type slowConsumer struct {
	jetstream.Consumer

	fetched int
}

func (c *slowConsumer) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	if c.fetched++; c.fetched == 1 {
		return nothing{}, nil
	}
	return c.Consumer.Fetch(n, opts...)
}

func (c *slowConsumer) FetchNoWait(n int) (jetstream.MessageBatch, error) { return c.Fetch(n) }

// nothing is the batch of a server that has sent nothing in time.
type nothing struct{}

func (nothing) Messages() <-chan jetstream.Msg {
	none := make(chan jetstream.Msg)
	close(none)
	return none
}

func (nothing) Error() error { return context.DeadlineExceeded }

// TestReadStored_SlowServer: what a server does not send at once is read all the same. A list of dead letters or of
// replies that ends early looks like a whole one.
func TestReadStored_SlowServer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(js, streams)
	const stored = readBatch + 3
	for i := range stored {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", i)
		_, err := r.PublishReply(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	read := 0
	err := readStored(testContext(t), slowStream{streams.replies}, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy},
		func(jetstream.Msg, *jetstream.MsgMetadata) (bool, error) { read++; return true, nil })
	require.NoError(t, err)
	require.Equal(t, stored, read)
}

// TestReaders_EndedContextLeavesNoConsumer: clients of the gateway connect and disconnect at any moment of a read. What they
// leave on the server is shared by all tenants.
func TestReaders_EndedContextLeavesNoConsumer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	replies, letters := NewReplies(js, streams), NewDeadLetters(js, streams)
	for name, c := range map[string]struct {
		stream jetstream.Stream
		read   func(context.Context) error
	}{
		"list": {streams.deadLetters, func(ctx context.Context) error {
			_, err := letters.List(ctx, DeadLetterFilter{})
			return err
		}},
		"follow": {streams.replies, func(ctx context.Context) error {
			return replies.Follow(ctx, Tail{From: 1}, nil, func(StoredReply) error { return nil })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for moment := range 100 {
				ctx, cancel := context.WithTimeout(testContext(t), time.Duration(moment)*20*time.Microsecond)
				_ = c.read(ctx) // it ends with its context or before
				cancel()
			}
			require.Eventually(t, func() bool {
				info, err := c.stream.Info(testContext(t))
				return err == nil && info.State.Consumers == 0
			}, soon, poll)
		})
	}
}

// TestReadStored_LongRead reads for longer than its caller waits for a server that does not answer: every message is a sign.
func TestReadStored_LongRead(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(js, streams)
	const stored, each, within = 60, 50 * time.Millisecond, 2 * time.Second
	for i := range stored {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", i)
		_, err := r.PublishReply(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	ctx, stop := patience.Within(testContext(t), within)
	defer stop()
	read := 0
	require.NoError(t, ReadReplies(ctx, streams, Tail{}, func(StoredReply) (bool, error) {
		<-time.After(each)
		read++
		return true, nil
	}))
	require.Equal(t, stored, read)
	require.NoError(t, ctx.Err())
}

package bus

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
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

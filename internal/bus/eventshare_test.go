package bus

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestEventShares_HalfOfTheStream(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{MaxBytes: 1 << 20})
	ctx := testContext(t)
	body := make([]byte, 16<<10)
	fill := func(tenant string, from, to int) {
		for n := from; n < to; n++ {
			_, err := js.Publish(ctx, fmt.Sprintf("%s.%s.shop.c%d", schemas.SubjectEvents, tenant, n), body)
			require.NoError(t, err)
		}
	}
	exceeded := func(tenant string) bool {
		is, err := NewEventShares(streams).Exceeded(ctx, tenant)
		require.NoError(t, err)
		return is
	}
	require.False(t, exceeded("acme"), "an empty stream")
	fill("acme", 0, 20)
	fill("globex", 0, 20)
	require.False(t, exceeded("acme"), "the stream is more than half full, of two tenants")
	require.False(t, exceeded("globex"))
	fill("acme", 20, 40)
	require.True(t, exceeded("acme"))
	require.False(t, exceeded("globex"), "what another tenant stores counts for that one")
	require.False(t, exceeded("acm"), "a tenant whose name begins another's")
}

// countingStream counts requests for the state of a stream.
type countingStream struct {
	jetstream.Stream
	requests int
}

func (s *countingStream) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	s.requests++
	return s.Stream.Info(ctx, opts...)
}

func TestEventShares_OneRequestForManyEvents(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	counted := &countingStream{Stream: streams.events}
	shares := NewEventShares(streams)
	shares.stream = counted
	for range 100 {
		_, err := shares.Exceeded(testContext(t), "acme")
		require.NoError(t, err)
	}
	require.LessOrEqual(t, counted.requests, 2)
}

// TestEventShares_StateUnknown: a server that does not answer is asked by one event of many, and rejects none.
func TestEventShares_StateUnknown(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	require.NoError(t, js.(guardedJetStream).JetStream.DeleteStream(testContext(t), schemas.StreamEvents))
	shares := NewEventShares(streams)
	shares.stream = guardedStream{Stream: streams.events.(guardedStream).Stream} // it is not created again
	_, err := shares.Exceeded(testContext(t), "acme")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	exceeded, err := shares.Exceeded(testContext(t), "acme")
	require.NoError(t, err)
	require.False(t, exceeded)
}

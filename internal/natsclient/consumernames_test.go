package natsclient_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

// TestLeader_ConsumerNames: more consumers than fit a page of the server are listed, each once.
func TestLeader_ConsumerNames(t *testing.T) {
	t.Parallel()
	ctx := natsclient.TestContext(t)
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	leader := natsclient.LeaderOf(js, "numbers")
	_, err = leader.ConsumerNames(ctx)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "numbers", Storage: jetstream.MemoryStorage, MaxConsumers: 2000,
	})
	require.NoError(t, err)
	names, err := leader.ConsumerNames(ctx)
	require.NoError(t, err)
	require.Empty(t, names)
	var want []string
	for n := range 1030 {
		name := fmt.Sprintf("c%04d", n)
		_, err := js.CreateConsumer(ctx, "numbers", jetstream.ConsumerConfig{
			Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MemoryStorage: true,
		})
		require.NoError(t, err)
		want = append(want, name)
	}
	names, err = leader.ConsumerNames(ctx)
	require.NoError(t, err)
	require.Equal(t, want, names)
}

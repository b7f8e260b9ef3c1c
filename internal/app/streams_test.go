package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

// startStreams starts a NATS server with all streams and returns a connection to it.
func startStreams(t *testing.T) (bus.JetStream, bus.Streams) {
	t.Helper()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{})
	require.NoError(t, err)
	return js, streams
}

package pubsub

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

// testContext ends after a time that no test takes unless something is broken.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// setup starts a server and a connection to it.
func setup(t testing.TB) jetstream.JetStream {
	t.Helper()
	return connectTo(t, natstest.Start(t))
}

func connectTo(t testing.TB, s *server.Server) jetstream.JetStream {
	t.Helper()
	nc, js, err := natsclient.Login{URL: s.ClientURL()}.Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return js
}

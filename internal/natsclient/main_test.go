package natsclient

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const (
	soon = time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	return ctx
}

// setup starts a server with one stream, which allows direct reads, and a connection to it.
func setup(t testing.TB) (*server.Server, jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	s := natstest.Start(t)
	nc, js, err := Login{URL: s.ClientURL()}.Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	stream, err := js.CreateStream(testContext(t), jetstream.StreamConfig{
		Name: streamOfTest, Subjects: []string{"test.*.*.*.*"}, AllowDirect: true,
	})
	require.NoError(t, err)
	return s, js, stream
}

const streamOfTest = "TEST"

package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
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

func startServer(t testing.TB) *server.Server {
	t.Helper()
	return startServerAt(t, server.RANDOM_PORT, t.TempDir())
}

func startServerAt(t testing.TB, port int, dir string) *server.Server {
	t.Helper()
	return natstest.Start(t, natstest.At(port, dir))
}

func connectTo(t testing.TB, s *server.Server) jetstream.JetStream {
	t.Helper()
	return connectToDomain(t, s, "")
}

func connectToDomain(t testing.TB, s *server.Server, domain string) jetstream.JetStream {
	t.Helper()
	nc, js, err := Connect(testContext(t), natsclient.Login{URL: s.ClientURL(), Domain: domain}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return js
}

// setup starts a server with streams and a connection to it.
func setup(t testing.TB, o StreamOptions) (*server.Server, jetstream.JetStream, Streams) {
	t.Helper()
	s := startServer(t)
	js := connectTo(t, s)
	if o.StarterTTL == 0 {
		o.StarterTTL = 2 * time.Second
	}
	streams, err := Setup(testContext(t), js, o)
	require.NoError(t, err)
	return s, js, streams
}

func publish(t *testing.T, js jetstream.JetStream, conversation string, n int) uint64 {
	t.Helper()
	seq, _, err := NewPublisher(js).PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation(conversation),
		fmt.Appendf(nil, "%d", n), fmt.Sprintf("%s-%d", conversation, n), nil)
	require.NoError(t, err)
	return seq
}

func letterCount(t *testing.T, d *DeadLetters) int {
	t.Helper()
	letters, err := d.List(testContext(t), DeadLetterFilter{})
	require.NoError(t, err)
	return len(letters)
}

func onlyLetter(t *testing.T, d *DeadLetters) DeadLetter {
	t.Helper()
	require.Eventually(t, func() bool { return letterCount(t, d) == 1 }, soon, poll)
	letters, err := d.List(testContext(t), DeadLetterFilter{})
	require.NoError(t, err)
	letter, err := d.Show(testContext(t), letters[0].Sequence)
	require.NoError(t, err)
	return letter
}

const eventRoot = schemas.SubjectEvents + "."

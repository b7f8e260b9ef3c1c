// Package natstest starts NATS servers inside of a test's process.
package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/freeport"
)

// patience is how long a server may take to start; no test waits this long unless something is broken.
const patience = time.Minute

// Start starts a server with JetStream on a free port of 127.0.0.1, with a store of its own and messages
// of at most 2 MiB. Each change alters its options. The server stops at the end of the test; a test may stop it earlier.
func Start(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		MaxPayload: 2 << 20,
	}
	for _, f := range change {
		f(options)
	}
	if options.Port == server.RANDOM_PORT {
		options.Port = freeport.Choose()
	}
	s, err := server.NewServer(options)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience), "the NATS server did not start")
	return s
}

// At puts a server at a port and a store, such as those of a server that stopped.
func At(port int, dir string) func(*server.Options) {
	return func(o *server.Options) { o.Port, o.StoreDir = port, dir }
}

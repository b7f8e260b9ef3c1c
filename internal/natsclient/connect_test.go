package natsclient

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/freeport"
)

// lockedBuffer is a log that is written while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestConnect_TriesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Choose())
	var log lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, _, err := Login{URL: "nats://bob:hunter2@" + address}.Connect(ctx, "test", slog.New(slog.NewTextHandler(&log, nil)))
		failed <- err
	}()
	require.Eventually(t, func() bool { return strings.Count(log.String(), "will retry") >= 2 }, soon, poll)
	cancel()
	err := <-failed
	require.ErrorContains(t, err, "HOOKTURN_NATS_URL")
	require.Contains(t, log.String(), "HOOKTURN_NATS_URL")
	require.NotContains(t, log.String()+err.Error(), "hunter2")
}

func TestConnect_RefusesWhatCanNeverWork(t *testing.T) {
	t.Parallel()
	_, _, err := Login{URL: "nats://bob:hunter2@local host:99999999"}.Connect(testContext(t), "test", nil)
	require.ErrorContains(t, err, "HOOKTURN_NATS_URL")
	require.NotContains(t, err.Error(), "hunter2")
	_, _, err = Login{URL: "nats://127.0.0.1:1", Creds: "/does/not/exist"}.Connect(testContext(t), "test", nil)
	require.ErrorContains(t, err, "HOOKTURN_NATS_CREDS")
}

func TestRedacted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nats://h:1":                  "nats://h:1",
		"nats://u:p@h:1, tls://t@i:2": "nats://h:1,tls://i:2",
		"u:p@h:1":                     "h:1",
		"nats://u:p@ss@h:1":           "nats://h:1",
	} {
		require.Equal(t, want, redacted(in))
	}
}

// TestConnect_RotatedPasswordIsWaitedFor changes the password on the server for a while, as an operator does who changes it
// there first: the connection is refused, and comes back.
func TestConnect_RotatedPasswordIsWaitedFor(t *testing.T) {
	t.Parallel()
	start := func(port int, password string) *server.Server {
		s, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "bob", Password: password,
		})
		require.NoError(t, err)
		s.Start()
		require.True(t, s.ReadyForConnections(soon))
		return s
	}
	stop := func(s *server.Server) {
		s.Shutdown()
		s.WaitForShutdown()
	}
	first := start(freeport.Choose(), "one")
	address := first.Addr().(*net.TCPAddr)
	var log lockedBuffer
	nc, _, err := Login{URL: "nats://bob:one@" + address.String()}.Connect(testContext(t), "test", slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	defer nc.Close()
	stop(first)
	second := start(address.Port, "two")
	require.Eventually(t, func() bool { return strings.Count(strings.ToLower(log.String()), "authorization violation") >= 3 }, soon, poll, "%s", &log)
	stop(second)
	require.False(t, nc.IsClosed())
	third := start(address.Port, "one")
	defer stop(third)
	require.Eventually(t, nc.IsConnected, soon, poll)
}

package telemetry

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/grpclog"
)

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

// TestCaptureLibraries_UnsolicitedBytesOmitted answers a request and then sends more bytes on the idle connection, which
// net/http prints.
func TestCaptureLibraries_UnsolicitedBytesOmitted(t *testing.T) { //nolint:paralleltest // the log package is shared
	var out lockedBuffer
	before := log.Writer()
	defer log.SetOutput(before)
	CaptureLibraries()
	log.SetOutput(standardLog{})
	LibrariesTo(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer LibrariesTo(slog.New(slog.DiscardHandler))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	more := make(chan struct{})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			<-more
			_, _ = io.WriteString(conn, "the secret of a user\r\nlevel=ERROR msg=forged\r\n")
			_ = conn.Close()
		}
	}()
	// net/http does not keep every connection: one that it has closed receives nothing.
	require.Eventually(t, func() bool {
		if strings.Contains(out.String(), "library message") {
			return true
		}
		client := &http.Client{Transport: &http.Transport{}}
		answer, err := client.Get("http://" + listener.Addr().String())
		if err != nil {
			return false
		}
		_, _ = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		more <- struct{}{}
		return false
	}, time.Minute, 20*time.Millisecond)
	require.NotContains(t, out.String(), "secret of a user")
	require.NotContains(t, out.String(), "forged")
	require.Contains(t, out.String(), "net/http")
}

func TestCaptureLibraries_GRPC(t *testing.T) { //nolint:paralleltest // its logger is shared
	var out lockedBuffer
	CaptureLibraries()
	LibrariesTo(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer LibrariesTo(slog.New(slog.DiscardHandler))
	grpclog.Warningf("a %s", "warning")
	require.Contains(t, out.String(), "a warning")
	require.Contains(t, out.String(), "library=grpc")
}

func TestServerLog(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	ServerLog(slog.New(slog.NewTextHandler(&out, nil))).Print("a client hung up")
	require.Empty(t, out.String())
	ServerLog(nil).Print("nothing")
}

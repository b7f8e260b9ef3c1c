package natstest

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// UnreadableHeader is a block of headers with a line that does not have a colon. The server stores it as it is.
const UnreadableHeader = "NATS/1.0\r\nX-Note: a\r\nb\r\n\r\n"

// SplitHeader is a block of headers with an empty line in it. What the server adds behind that is not read.
const SplitHeader = "NATS/1.0\r\nX-Note: a\r\n\r\nb: c\r\n\r\n"

// PublishRaw publishes a message with a block of headers as it is, as a client may that does not check values for line ends.
// The server has received it when PublishRaw returns.
func PublishRaw(t testing.TB, s *server.Server, subject, header, data string) {
	t.Helper()
	conn, err := s.InProcessConn()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() { // the connection does not buffer: the server may write meanwhile
		_, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB %s %d %d\r\n%s%s\r\nPING\r\n",
			subject, len(header), len(header)+len(data), header, data)
		sent <- err
	}()
	answers := bufio.NewReader(conn)
	for line := ""; !strings.HasPrefix(line, "PONG"); {
		line, err = answers.ReadString('\n')
		require.NoError(t, err)
		require.NotContains(t, line, "-ERR")
	}
	require.NoError(t, <-sent)
}

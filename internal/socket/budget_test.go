package socket

import (
	"bufio"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// counting is a listener that counts what its connections read.
type counting struct {
	net.Listener

	read *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return counted{conn, l.read}, err
}

type counted struct {
	net.Conn

	read *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestConnection_FrameOverTheLimitIsNotReadOn sends a frame of 64 MiB and frames that are not text, without a pause.
func TestConnection_FrameOverTheLimitIsNotReadOn(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]byte{
		"one large frame":     binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 64<<20),
		"a binary frame":      binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 64<<20),
		"an endless fragment": binary.BigEndian.AppendUint64([]byte{0x01, 0xff}, 64<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var read atomic.Int64
			w := newPubSub(t)
			hub := &Hub{Scripts: &scripts{}, Bus: w, Claims: w, Log: slog.New(slog.DiscardHandler), Count: &counts{}}
			require.NoError(t, hub.Start())
			served := make(chan struct{})
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(served)
				var now atomic.Pointer[bot.Channel]
				now.Store(public())
				_ = hub.Accept(w, r, public(), clientOf(&now))
			}))
			web.Listener = counting{web.Listener, &read}
			web.Start()
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), soon)
				defer cancel()
				hub.Close(ctx)
				web.Close()
			})
			conn, err := net.Dial("tcp", web.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
			require.NoError(t, err)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			_, err = conn.Write(append(header, 0, 0, 0, 0))
			require.NoError(t, err)
			chunk := make([]byte, 64<<10)
			for sent := 0; sent < 64<<20 && err == nil; sent += len(chunk) {
				_, err = conn.Write(chunk)
			}
			require.Error(t, err, "the connection was read completely")
			<-served
			require.Less(t, read.Load(), int64(frameMax+drainMax+256<<10))
		})
	}
}

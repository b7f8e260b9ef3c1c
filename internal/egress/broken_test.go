package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/freeport"
)

func TestClient_Answers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		handle func(net.Conn, int64)
		want   fault.Kind
		status int
	}{
		{"closed before the request", func(net.Conn, int64) {}, fault.Reset, 0},
		{"reset before the request", func(conn net.Conn, _ int64) { abort(conn) }, fault.Reset, 0},
		{"closed before the answer", answer(""), fault.Reset, 0},
		{"reset before the answer", reset, fault.Reset, 0},
		{"closed in the status line", answer("HTTP/1.1 20"), fault.Reset, 0},
		{"closed in the headers", answer("HTTP/1.1 200 OK\r\nX-Shop: 1\r\n"), fault.Reset, 0},
		{"closed after an informational answer", answer("HTTP/1.1 103 Early Hints\r\n\r\n"), fault.Reset, 0},
		{"closed in the body", answer("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"status\":true}"), fault.Reset, 200},
		{"closed before the body", answer("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"), fault.Reset, 200},
		{"closed in a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), fault.Reset, 200},
		{"closed before the last chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
			fault.Reset, 200},
		{"not a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), fault.Reset, 200},
		{"no HTTP", answer("SSH-2.0-OpenSSH_9.2\r\n\r\n"), fault.BadResponse, 0},
		{"bad header line", answer("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), fault.BadResponse, 0},
		{"two lengths", answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), fault.BadResponse, 0},
		{"change of protocol", answer("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
			fault.BadResponse, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, c.handle)
			resp, a, err := call(t, newClient(t, devstack()), s.url+"/?s3cret")
			f := requireFault(t, c.want, err, a)
			require.Nil(t, resp)
			require.Equal(t, c.status, a.Status)
			require.Equal(t, c.want == fault.Reset, f.Retryable())
			require.EqualValues(t, 1, s.accepted.Load(), "nothing is sent twice")
		})
	}
}

// reset reads the request and breaks the connection.
func reset(conn net.Conn, _ int64) {
	if readRequest(conn) == nil {
		abort(conn)
	}
}

func TestClient_ConnectFaults(t *testing.T) {
	t.Parallel()
	addr := fmt.Sprintf("127.0.0.1:%d", freeport.Choose())
	_, a, err := call(t, newClient(t, devstack()), "http://"+addr+"/?s3cret")
	f := requireFault(t, fault.Connect, err, a)
	require.True(t, f.Retryable())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Contains(t, f.Message, addr)
	require.Contains(t, f.Message, "connection refused")
}

func TestClient_DNSFaults(t *testing.T) {
	t.Parallel()
	o := devstack()
	o.Resolver = resolver(t, func(string) []netip.Addr { return nil })
	_, a, err := call(t, newClient(t, o), "https://nowhere.example.com/?s3cret")
	f := requireFault(t, fault.DNS, err, a)
	require.True(t, f.Retryable())
	require.Contains(t, f.Message, "nowhere.example.com")

	o.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, syscall.ECONNREFUSED
	}}
	_, a, err = call(t, newClient(t, o), "https://nowhere.example.com/")
	f = requireFault(t, fault.DNS, err, a)
	require.Contains(t, f.Message, "name servers")
}

func TestClient_Methods(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Method })
	c := newClient(t, devstack())
	for method, want := range map[string]string{"": "POST", "PUT": "PUT", "GET": "GET", "HEAD": "HEAD"} {
		_, _, err := c.Do(context.Background(), Request{URL: s.URL, Method: method})
		require.NoError(t, err)
		require.Equal(t, want, <-got)
	}
	for _, method := range []string{"CONNECT", "connect", "A B", "GET\r\n"} {
		_, a, err := c.Do(context.Background(), Request{URL: s.URL, Method: method})
		requireFault(t, fault.Config, err, a)
	}
}

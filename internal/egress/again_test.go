package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// keepsOne answers the first request of a connection and ends the connection at the second one, after so many bytes. From
// the third connection on every request is answered.
func keepsOne(requests *arrivals, bytes string) func(net.Conn, int64) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	return func(conn net.Conn, n int64) {
		for i := 0; readRequest(conn) == nil; i++ {
			requests.add(conn.RemoteAddr().String())
			if i == 1 && n < 3 {
				_, _ = io.WriteString(conn, bytes)
				return
			}
			_, _ = io.WriteString(conn, good)
		}
	}
}

// An endpoint closes a kept connection at the moment of the next request: the attempt continues on a new one.
func TestDo_KeptConnectionClosed(t *testing.T) {
	t.Parallel()
	untilKept(t, 2, func(requests *arrivals) (check func()) {
		var ended atomic.Int64
		handle := keepsOne(requests, "")
		s := serveRaw(t, func(conn net.Conn, n int64) {
			handle(conn, n)
			ended.Add(1)
		})
		c := newClient(t, devstack())
		_, _, err := call(t, c, s.url)
		require.NoError(t, err)
		resp, a, err := call(t, c, s.url)
		return func() {
			require.NoError(t, err)
			require.Equal(t, 200, resp.Status)
			require.Empty(t, a.Error)
			require.NotZero(t, a.ConnectMs, "the record is of the new connection")
			require.Equal(t, 3, requests.count())
			require.EqualValues(t, 2, s.accepted.Load())
			require.Eventually(t, func() bool { return ended.Load() == 2 }, time.Minute, time.Millisecond,
				"the new connection is closed behind the answer: it belongs to no pool")
		}
	})
}

// A byte of an answer, or a connection that was made for the request, is the endpoint's failure and counts.
func TestDo_NotSentAgain(t *testing.T) {
	t.Parallel()
	untilKept(t, 2, func(requests *arrivals) (check func()) {
		s := serveRaw(t, keepsOne(requests, "H"))
		c := newClient(t, devstack())
		_, _, err := call(t, c, s.url)
		require.NoError(t, err)
		_, a, err := call(t, c, s.url)
		return func() {
			requireFault(t, fault.Reset, err, a)
			require.Equal(t, 2, requests.count())
			require.EqualValues(t, 1, s.accepted.Load())
		}
	})

	fresh := serveRaw(t, func(conn net.Conn, _ int64) { _ = readRequest(conn) })
	_, a, err := call(t, newClient(t, devstack()), fresh.url)
	requireFault(t, fault.Reset, err, a)
	require.EqualValues(t, 1, fresh.accepted.Load())
}

// Once more means once: the second connection is closed before a byte came, too.
func TestDo_SentAgainOnce(t *testing.T) {
	t.Parallel()
	untilKept(t, 2, func(requests *arrivals) (check func()) {
		s := serveRaw(t, func(conn net.Conn, n int64) {
			for i := 0; readRequest(conn) == nil; i++ {
				requests.add(conn.RemoteAddr().String())
				if i > 0 || n > 1 {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		c := newClient(t, devstack())
		_, _, err := call(t, c, s.url)
		require.NoError(t, err)
		_, a, err := call(t, c, s.url)
		return func() {
			requireFault(t, fault.Reset, err, a)
			require.Equal(t, 3, requests.count())
			require.EqualValues(t, 2, s.accepted.Load())
		}
	})
}

// An attempt whose time is over while a kept connection is silent is a timeout and is not sent again.
func TestDo_SilentKeptConnection(t *testing.T) {
	t.Parallel()
	untilKept(t, 2, func(requests *arrivals) (check func()) {
		s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if requests.add(r.RemoteAddr) > 1 {
				<-r.Context().Done()
			}
		})
		c := newClient(t, devstack())
		_, _, err := call(t, c, s.URL)
		require.NoError(t, err)
		_, a, err := c.Do(context.Background(), Request{URL: s.URL, Body: []byte("{}"), Timeout: time.Second})
		return func() {
			requireFault(t, fault.Timeout, err, a)
			require.Equal(t, 2, requests.count())
		}
	})
}

// startTLS starts a server with TLS, and returns it with a client that trusts it.
func startTLS(t *testing.T, http2 bool, handler http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2, s.Config.ErrorLog = http2, quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	o := devstack()
	o.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return s, newClient(t, o)
}

// The same over TLS, where the bytes of the close alert are not a response, with HTTP/1 and HTTP/2.
func TestDo_KeptConnectionClosedTLS(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		untilKept(t, 2, func(requests *arrivals) (check func()) {
			closeConnections := make(chan func(), 1)
			s, c := startTLS(t, http2, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if requests.add(r.RemoteAddr) == 2 {
					(<-closeConnections)()
					<-r.Context().Done()
					return
				}
				_, _ = io.WriteString(w, r.Proto)
			})
			closeConnections <- s.CloseClientConnections
			first, _, err := call(t, c, s.URL)
			require.NoError(t, err)
			resp, a, err := call(t, c, s.URL)
			return func() {
				require.NoError(t, err)
				require.Equal(t, string(first.Body), string(resp.Body))
				require.Equal(t, http2, string(resp.Body) == "HTTP/2.0")
				require.NotZero(t, a.TLSMs)
				require.Equal(t, 3, requests.count())
			}
		})
	}
}

// An endpoint that ends one stream of a kept HTTP/2 connection has seen the request: that is its failure and counts.
func TestDo_StreamEnded(t *testing.T) {
	t.Parallel()
	untilKept(t, 2, func(requests *arrivals) (check func()) {
		s, c := startTLS(t, true, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if requests.add(r.RemoteAddr) > 1 {
				panic(http.ErrAbortHandler)
			}
		})
		_, _, err := call(t, c, s.URL)
		require.NoError(t, err)
		_, a, err := call(t, c, s.URL)
		return func() {
			requireFault(t, fault.Reset, err, a)
			require.Equal(t, 2, requests.count())
		}
	})
}

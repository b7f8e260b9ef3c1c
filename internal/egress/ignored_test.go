package egress

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestDo_IgnoredBody: where the status is the whole answer, a body that cannot be used is not a failure.
func TestDo_IgnoredBody(t *testing.T) {
	t.Parallel()
	const large = "300000"
	for name, c := range map[string]struct {
		answer string
		fault  fault.Kind // of a body that counts
	}{
		"compressed":        {"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", fault.Encoding},
		"compressed chunks": {"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", fault.Encoding},
		"long":              {"Content-Length: " + large + "\r\n\r\n", fault.TooLarge},
		"long chunks": {
			"Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + strings.Repeat("a", 300_000) + "\r\n0\r\n\r\n", fault.TooLarge,
		},
		"broken off": {"Content-Length: 10\r\n\r\nab", fault.Reset},
		"bad chunk":  {"Transfer-Encoding: chunked\r\n\r\nzz\r\n", fault.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, answer("HTTP/1.1 202 Accepted\r\n"+c.answer))
			client := newClient(t, devstack())
			asked := 0
			ask := func(ignored bool) Request {
				return Request{URL: s.url, Ignores: func(status int) bool {
					require.Equal(t, http.StatusAccepted, status)
					asked++
					return ignored
				}}
			}
			resp, a, err := client.Do(context.Background(), ask(true))
			require.NoError(t, err)
			require.Equal(t, http.StatusAccepted, resp.Status)
			require.NotNil(t, resp.Body)
			require.Empty(t, a.Error)

			_, a, err = client.Do(context.Background(), ask(false))
			requireFault(t, c.fault, err, a)
			require.Equal(t, 2, asked)
		})
	}
}

// TestDo_IgnoredBodyWithoutEnd does not wait for the rest of a body that is ignored: the attempt may take a minute.
func TestDo_IgnoredBodyWithoutEnd(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	s := serveRaw(t, func(conn net.Conn, _ int64) {
		defer close(gone)
		if readRequest(conn) == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
			_, _ = io.Copy(io.Discard, conn) // until the client closes the connection
		}
	})
	resp, a, err := newClient(t, devstack()).Do(context.Background(), Request{URL: s.url, Ignores: func(int) bool { return true }})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.Status)
	require.Empty(t, a.Error)
	<-gone
}

// TestDo_NoBody: what the headers name of a body that does not come is not a failure.
func TestDo_NoBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, answer string }{
		"204":            {http.MethodPost, "204 No Content\r\nContent-Encoding: gzip"},
		"length 0":       {http.MethodPost, "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0"},
		"no chunk":       {http.MethodPost, "200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0"},
		"HEAD of a long": {http.MethodHead, "200 OK\r\nContent-Length: 300000"},
		"HEAD of a gzip": {http.MethodHead, "200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, answer("HTTP/1.1 "+c.answer+"\r\n\r\n"))
			resp, a, err := newClient(t, devstack()).Do(context.Background(), Request{Method: c.method, URL: s.url})
			require.NoError(t, err)
			require.NotNil(t, resp.Body)
			require.Empty(t, resp.Body)
			require.Zero(t, a.Bytes)
		})
	}
}

// TestDo_NoBodyHTTP2: the same over HTTP/2, whose headers come in a frame that ends the stream.
func TestDo_NoBodyHTTP2(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certificate := ca.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		method string
		status int
		header map[string]string
	}{
		"204":            {http.MethodPost, http.StatusNoContent, map[string]string{"Content-Encoding": "gzip", "Content-Length": "3"}},
		"HEAD of a long": {http.MethodHead, http.StatusOK, map[string]string{"Content-Length": "300000"}},
		"HEAD of a gzip": {http.MethodHead, http.StatusOK, map[string]string{"Content-Encoding": "gzip", "Content-Length": "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Proto", r.Proto)
				for key, value := range c.header {
					w.Header().Set(key, value)
				}
				w.WriteHeader(c.status)
			})
			o := devstack()
			o.RootCAs = ca.pool()
			resp, a, err := newClient(t, o).Do(context.Background(), Request{Method: c.method, URL: s.URL})
			require.NoError(t, err)
			require.Equal(t, "HTTP/2.0", resp.Header.Get("Proto"))
			require.NotNil(t, resp.Body)
			require.Empty(t, resp.Body)
			require.Zero(t, a.Bytes)
		})
	}
}

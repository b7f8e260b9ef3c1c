package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

func TestLimits_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, location := range []string{other.URL + "/?s3cret", "http://169.254.169.254/", "", ":"} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.Header().Set("Refresh", "0;url="+other.URL)
				w.WriteHeader(status)
			})
			_, a, err := call(t, newClient(t, devstack()), s.URL)
			f := requireFault(t, fault.Redirect, err, a)
			require.Equal(t, status, f.Status)
			require.Equal(t, status, a.Status)
			require.False(t, f.Retryable())
		}
	}
	require.Zero(t, reached.Load())
}

func TestDo_StatusIsNotAnError(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
	})
	c := newClient(t, devstack())
	for status := 200; status < 600; status++ {
		if status/100 == 3 {
			continue
		}
		resp, a, err := call(t, c, fmt.Sprintf("%s/%d", s.URL, status))
		require.NoError(t, err)
		require.Equal(t, status, resp.Status)
		require.Equal(t, status, a.Status)
		require.Equal(t, "3", resp.Header.Get("Retry-After"))
		require.NotNil(t, resp.Body)
	}
}

// flood answers with a head and then repeats a chunk until the client goes away. It reports what it could write.
func flood(t *testing.T, head, chunk string) (*rawServer, <-chan int) {
	written := make(chan int, 1)
	return serveRaw(t, func(conn net.Conn, _ int64) {
		if readRequest(conn) != nil {
			return
		}
		n, err := io.WriteString(conn, head)
		for err == nil {
			var more int
			more, err = io.WriteString(conn, chunk)
			n += more
		}
		written <- n
	}), written
}

// socketBuffers is more than the kernel takes over loopback before the reader has read it.
const socketBuffers = 16 << 20

func TestLimits_EndlessAnswers(t *testing.T) {
	t.Parallel()
	line := "X-Long: " + strings.Repeat("a", 1000) + "\r\n"
	for _, c := range []struct {
		name, head, chunk string
		bytes             int64
	}{
		{"body without length", "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("a", 4096), 256<<10 + 1},
		{"chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat("a", 1024) + "\r\n",
			256<<10 + 1},
		{"body with an honest length", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", strings.Repeat("a", 4096), 0},
		{"headers", "HTTP/1.1 200 OK\r\n", line, 0},
		{"one header line", "HTTP/1.1 200 OK\r\nX-Long: ", strings.Repeat("a", 4096), 0},
		{"status line", "HTTP/1.1 200 ", strings.Repeat("O", 4096), 0},
		{"informational answers", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0},
		{"100 continues", "", "HTTP/1.1 100 Continue\r\n\r\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, written := flood(t, c.head, c.chunk)
			_, a, err := call(t, newClient(t, devstack()), s.url)
			f := requireFault(t, fault.TooLarge, err, a)
			require.False(t, f.Retryable())
			require.Equal(t, c.bytes, a.Bytes)
			require.Less(t, <-written, socketBuffers, "the connection must be closed, not drained")
		})
	}
}

func TestLimits_BodyLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var size int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &size)
		if r.URL.RawQuery == "chunked" {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(bytes.Repeat([]byte("a"), size))
	})
	c := newClient(t, devstack())
	for _, q := range []string{"", "?chunked"} {
		for _, l := range []struct {
			limit int64
			size  int
			good  bool
		}{
			{0, 256 << 10, true}, {0, 256<<10 + 1, false}, {10, 10, true}, {10, 11, false}, {10, 0, true},
			{MaxBody, MaxBody, true}, {MaxBody, MaxBody + 1, false}, {1 << 40, MaxBody, true}, {1 << 40, MaxBody + 1, false},
		} {
			resp, a, err := c.Do(context.Background(), Request{URL: fmt.Sprintf("%s/%d%s", s.URL, l.size, q), BodyLimit: l.limit})
			if !l.good {
				f := requireFault(t, fault.TooLarge, err, a)
				require.Equal(t, 200, f.Status)
				continue
			}
			require.NoError(t, err)
			require.Len(t, resp.Body, l.size)
			require.EqualValues(t, l.size, a.Bytes)
		}
	}
}

func TestRequest_BodyLimit(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Add(n)
	})
	c := newClient(t, devstack())
	body := make([]byte, 512<<10+1)
	_, a, err := c.Do(context.Background(), Request{URL: s.URL, Body: body})
	requireFault(t, fault.TooLarge, err, a)
	require.Zero(t, got.Load())
	_, _, err = c.Do(context.Background(), Request{URL: s.URL, Body: body[1:]})
	require.NoError(t, err)
	require.EqualValues(t, 512<<10, got.Load())
}

func TestLimits_CompressedBodies(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, err := io.Copy(w, io.LimitReader(zeros{}, 20<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for _, encoding := range []string{"gzip", "br", "deflate", "x-unknown", "identity, gzip"} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(bomb.Bytes())
		})
		_, a, err := call(t, newClient(t, devstack()), s.URL)
		f := requireFault(t, fault.Encoding, err, a)
		require.False(t, f.Retryable())
		require.LessOrEqual(t, a.Bytes, int64(1), "no more of it is read than shows that there is one")
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "Identity")
		_, _ = w.Write([]byte("plain"))
	})
	resp, _, err := call(t, newClient(t, devstack()), s.URL)
	require.NoError(t, err)
	require.Equal(t, "plain", string(resp.Body))
}

// A body that cannot be read must not hide a status that can be retried.
func TestDo_UnreadableBodyOfABadStatus(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"too large":  "Content-Length: 10000000\r\n\r\n",
		"compressed": "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
		"broken off": "Content-Length: 10\r\n\r\na",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, answer("HTTP/1.1 503 Busy\r\nRetry-After: 2\r\n"+text))
			resp, a, err := call(t, newClient(t, devstack()), s.url)
			require.NoError(t, err)
			require.Equal(t, 503, resp.Status)
			require.Equal(t, 503, a.Status)
			require.Empty(t, a.Error)
			require.Nil(t, resp.Body)
			require.Equal(t, 2*time.Second, RetryAfter(resp.Header, time.Now()))
		})
	}
}

func TestLimits_Timeouts(t *testing.T) {
	t.Parallel()
	drip := func(head string) func(net.Conn, int64) {
		return func(conn net.Conn, _ int64) {
			_ = readRequest(conn)
			_, err := io.WriteString(conn, head)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for ; err == nil; <-tick.C {
				_, err = io.WriteString(conn, "a")
			}
		}
	}
	silent := func(conn net.Conn, _ int64) { _, _ = io.Copy(io.Discard, conn) }
	for _, c := range []struct {
		name, scheme string
		handle       func(net.Conn, int64)
		status       int
		timeout      time.Duration
	}{
		{"no answer", "http", silent, 0, 2 * time.Second},
		{"no TLS answer", "https", silent, 0, 2 * time.Second},
		{"headers drip", "http", drip("HTTP/1.1 200 OK\r\nX: "), 0, 2 * time.Second},
		{"body drips", "http", drip("HTTP/1.1 200 OK\r\n\r\n"), 200, 10 * time.Second}, // the headers must arrive before
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, c.handle)
			client := newClient(t, devstack())
			url := c.scheme + strings.TrimPrefix(s.url, "http")
			_, a, err := client.Do(context.Background(), Request{URL: url, Timeout: c.timeout})
			f := requireFault(t, fault.Timeout, err, a)
			require.True(t, f.Retryable())
			require.Contains(t, f.Message, c.timeout.String())
			require.Equal(t, c.status, a.Status)
			require.GreaterOrEqual(t, a.TotalMs, float64(c.timeout.Milliseconds()))
		})
	}
}

func TestLimits_TLSHandshakeTimeout(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, func(conn net.Conn, _ int64) { _, _ = io.Copy(io.Discard, conn) })
	o := devstack()
	o.TLSTimeout = time.Second
	_, a, err := call(t, newClient(t, o), "https"+strings.TrimPrefix(s.url, "http"))
	f := requireFault(t, fault.Timeout, err, a)
	require.True(t, f.Retryable())
	require.NotZero(t, a.TLSMs)
}

func TestClient_CallersContext(t *testing.T) {
	t.Parallel()
	got := make(chan struct{}, 10)
	s := serveRaw(t, func(conn net.Conn, _ int64) {
		_ = readRequest(conn)
		got <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	c := newClient(t, devstack())

	for name, e := range map[string]struct {
		cause     error
		kind      fault.Kind
		retryable bool
	}{
		"cancelled by the workflow": {ErrCancelled, fault.Cancelled, false},
		"a heartbeat that failed":   {errors.New("deadline exceeded"), fault.Internal, true},
		"no cause":                  {nil, fault.Internal, true},
		"its own time":              {ErrAttempt, fault.Timeout, true},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() { <-got; cancel(e.cause) }()
		_, a, err := c.Do(ctx, Request{URL: s.url})
		f := requireFault(t, e.kind, err, a)
		require.Equal(t, e.retryable, f.Retryable(), name)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, a, err := c.Do(ctx, Request{URL: s.url})
	requireFault(t, fault.Timeout, err, a)
}

func TestTimeout_IsCutToTheMaximum(t *testing.T) {
	t.Parallel()
	c, err := New(Options{})
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, 15*time.Second, c.timeout(Request{}))
	require.Equal(t, 30*time.Second, c.timeout(Request{Timeout: 30 * time.Second}))
	require.Equal(t, 2*time.Minute, c.timeout(Request{Timeout: time.Hour}))
}

func TestOptions_AreChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"Timeout":         {Timeout: -1},
		"MaxTimeout":      {MaxTimeout: time.Hour},
		"ConnectTimeout":  {ConnectTimeout: time.Hour},
		"BodyLimit":       {BodyLimit: MaxBody + 1},
		"HeaderLimit":     {HeaderLimit: -1},
		"RequestLimit":    {RequestLimit: 1 << 40},
		"MaxConnsPerHost": {MaxConnsPerHost: -1},
		"UserAgent":       {UserAgent: "a\r\nb"},
	} {
		_, err := New(o)
		require.ErrorContains(t, err, name)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

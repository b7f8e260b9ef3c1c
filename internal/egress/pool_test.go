package egress

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

var quiet = log.New(io.Discard, "", 0)

func TestPool_ConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	const calls = 5
	untilKept(t, calls, func(requests *arrivals) (check func()) {
		var opened atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.add(r.RemoteAddr)
			_, _ = io.Copy(w, r.Body)
		}))
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		c := newClient(t, devstack())
		var attempts []schemas.Attempt
		for range calls {
			resp, a, err := call(t, c, s.URL)
			require.NoError(t, err)
			require.Equal(t, `{"step":"S"}`, string(resp.Body))
			attempts = append(attempts, a)
		}
		return func() {
			for i, a := range attempts {
				require.Equal(t, i > 0, a.ConnectMs == 0, "only the first attempt connects")
				require.NotZero(t, a.FirstByteMs)
				require.GreaterOrEqual(t, a.TotalMs, a.FirstByteMs)
			}
			require.EqualValues(t, 1, opened.Load())
		}
	})
}

func TestPool_Timings(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	o := devstack()
	o.Resolver = resolver(t, names(map[string]string{"shop.example.com": "127.0.0.1"}))
	_, a, err := call(t, newClient(t, o), "http://shop.example.com:"+port+"/orders?s3cret")
	require.NoError(t, err)
	require.Equal(t, "http://shop.example.com:"+port+"/orders", a.URL)
	require.NotZero(t, a.DNSMs)
	require.NotZero(t, a.ConnectMs)
	require.Zero(t, a.TLSMs)
	require.Zero(t, a.N)
	require.Empty(t, a.Error)
	require.Equal(t, 200, a.Status)
}

func TestPool_ManyAtOnceDoNotQueue(t *testing.T) {
	t.Parallel()
	const wide = 64
	var all sync.WaitGroup
	all.Add(wide)
	s := serve(t, func(http.ResponseWriter, *http.Request) {
		all.Done()
		all.Wait() // answer only when all requests have arrived
	})
	c := newClient(t, devstack())
	var wg sync.WaitGroup
	errs := make(chan error, wide)
	for range wide {
		wg.Go(func() {
			_, _, err := c.Do(context.Background(), Request{URL: s.URL})
			errs <- err
		})
	}
	wg.Wait()
	for range wide {
		require.NoError(t, <-errs)
	}
}

func TestPool_MaxConnsPerHost(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})
	o := devstack()
	o.MaxConnsPerHost = 1
	c := newClient(t, o)
	first := make(chan error, 1)
	go func() {
		_, _, err := c.Do(context.Background(), Request{URL: s.URL})
		first <- err
	}()
	<-entered
	_, a, err := c.Do(context.Background(), Request{URL: s.URL, Timeout: time.Second})
	requireFault(t, fault.Timeout, err, a)
	require.Empty(t, entered)
	close(release)
	require.NoError(t, <-first)
}

func TestPool_CloseClosesIdleConnections(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	s := serveRaw(t, func(conn net.Conn, _ int64) {
		_ = readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		close(ended)
	})
	c, err := New(devstack())
	require.NoError(t, err)
	_, _, err = call(t, c, s.url)
	require.NoError(t, err)
	c.Close()
	<-ended
}

func TestDialContext(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, func(conn net.Conn, _ int64) { _, _ = io.Copy(conn, conn) })
	address := fmt.Sprintf("127.0.0.1:%d", s.port)
	conn, err := newClient(t, devstack()).DialContext(context.Background(), "tcp", address)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "echo")
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, "echo", string(got))
	require.NoError(t, conn.Close())

	strict := newClient(t, Options{Ports: []uint16{s.port}})
	for bad, want := range map[string]fault.Kind{
		address:                                 fault.Blocked,
		fmt.Sprintf("localhost:%d", s.port):     fault.Blocked,
		"example.com:22":                        fault.Blocked,
		"example.com":                           fault.Config,
		"user@example.com:443":                  fault.Config,
		"example.com:443/path":                  fault.Config,
		"127.1:443":                             fault.Config,
		fmt.Sprintf("[fe80::1%%lo]:%d", s.port): fault.Config,
	} {
		_, err := strict.DialContext(context.Background(), "tcp", bad)
		var f *fault.Fault
		require.ErrorAs(t, err, &f, bad)
		require.Equal(t, want, f.Kind, bad)
	}
	require.EqualValues(t, 1, s.accepted.Load())
}

func BenchmarkDo(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer s.Close()
	c, err := New(devstack())
	require.NoError(b, err)
	defer c.Close()
	r := Request{URL: s.URL + "/orders", Header: http.Header{"Content-Type": {"application/json"}}, Body: make([]byte, 500)}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Do(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTarget(b *testing.B) {
	c, err := New(Options{Allow: []string{"erp.corp", "10.0.0.0/8"}})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, f := c.policy.target("https://shop.example.com/orders/status?lang=en"); f != nil {
			b.Fatal(f)
		}
	}
}

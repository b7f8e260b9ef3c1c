package egress

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/leaktest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

// devstack is the policy under which tests can reach their own servers.
func devstack() Options { return Options{AllowLoopback: true, AllowPlainHTTP: true} }

// newClient returns a client whose timeouts are long, where a test does not set its own: a handshake may take longer than the
// defaults on a busy machine.
func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.ConnectTimeout, o.TLSTimeout = cmp.Or(o.ConnectTimeout, time.Minute), cmp.Or(o.TLSTimeout, time.Minute)
	c, err := New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func call(t *testing.T, c *Client, url string) (*Response, schemas.Attempt, error) {
	t.Helper()
	return c.Do(context.Background(), Request{URL: url, Body: []byte(`{"step":"S"}`)})
}

// requireFault checks what every failure promises: the type, the word, a message without the parts of a URL that may be
// secret, and a record that agrees.
func requireFault(t *testing.T, want fault.Kind, err error, a schemas.Attempt) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	require.ErrorAs(t, err, &f)
	require.Equal(t, want, f.Kind, "%v (cause: %v)", f, f.Unwrap())
	require.NotContains(t, f.Error(), "s3cret")
	require.NotEmpty(t, f.Message)
	require.Equal(t, string(want), a.Error)
	require.False(t, a.Started.IsZero())
	require.NotEmpty(t, a.URL)
	require.NotContains(t, a.URL, "s3cret")
	return f
}

// rawServer speaks bytes instead of HTTP: handle is called for each connection, with its number from 1.
type rawServer struct {
	url      string
	port     uint16
	accepted atomic.Int64
}

func serveRaw(t *testing.T, handle func(conn net.Conn, n int64)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &rawServer{url: "http://" + l.Addr().String(), port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			n := s.accepted.Add(1)
			wg.Go(func() {
				defer conn.Close()
				handle(conn, n)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// readRequest takes one request from a raw connection, body included.
func readRequest(conn net.Conn) error {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// answer returns a new handler that reads a request, writes some bytes and closes.
func answer(text string) func(net.Conn, int64) {
	return func(conn net.Conn, _ int64) {
		if readRequest(conn) == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// abort configures the kernel to send a reset instead of an orderly close.
func abort(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

// resolver answers look-ups from a function, over a pipe: no test depends on the machine's name servers. No address means
// that the name does not exist.
func resolver(t *testing.T, lookup func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		wg.Go(func() {
			defer server.Close()
			for answerDNS(server, lookup) == nil {
			}
		})
		return client, nil
	}}
}

func answerDNS(conn net.Conn, lookup func(name string) []netip.Addr) error {
	var size uint16
	if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
		return err
	}
	query := make([]byte, size)
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return errors.Join(err, errors.New("one question expected"))
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	addrs := lookup(strings.TrimSuffix(q.Name.String(), "."))
	if len(addrs) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, addr := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case q.Type == dnsmessage.TypeA && addr.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && addr.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return err
}

// names returns a new look-up function from a table.
func names(table map[string]string) func(string) []netip.Addr {
	return func(name string) []netip.Addr {
		if text, ok := table[name]; ok {
			return []netip.Addr{netip.MustParseAddr(text)}
		}
		return nil
	}
}

func hostURL(host string, port uint16, path string) string {
	return fmt.Sprintf("http://%s:%d%s", host, port, path)
}

package e2e

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy forwards TCP connections to a server, and delays their data by a configurable time.
type proxy struct {
	addr, target string
	delay        atomic.Int64 // nanoseconds in each direction

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: listener.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for conn := range p.conns {
			_ = conn.Close()
		}
		p.mu.Unlock()
		group.Wait()
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer p.track(conn)()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.track(server)()
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, conn) })
	both.Go(func() { p.pass(conn, server) })
	both.Wait()
}

// track remembers a connection until the function that it returns closes it.
func (p *proxy) track(conn net.Conn) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, conn)
		_ = conn.Close()
	}
}

// pass copies in one direction; each part of the stream comes later by the delay.
func (p *proxy) pass(to, from net.Conn) {
	type part struct {
		due  time.Time
		data []byte
	}
	parts := make(chan part, 1024)
	var group sync.WaitGroup
	group.Go(func() {
		for part := range parts {
			<-time.After(time.Until(part.due))
			if _, err := to.Write(part.data); err != nil {
				_ = from.Close()
			}
		}
		_ = to.(interface{ CloseWrite() error }).CloseWrite()
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			parts <- part{time.Now().Add(time.Duration(p.delay.Load())), append([]byte(nil), buffer[:n]...)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			break
		}
	}
	close(parts)
	group.Wait()
}

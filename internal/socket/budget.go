package socket

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// drainMax bounds what is still read of a client when its connection ends, in bytes: enough for the end of the frame that it
// was sending and for its goodbye.
const drainMax = 1 << 20

// budget is a network connection whose remaining reads can be limited.
type budget struct {
	net.Conn

	limited atomic.Bool
	left    atomic.Int64
}

var errBudget = errors.New("the connection has ended")

// limit lets at most drainMax further bytes be read.
func (b *budget) limit() {
	b.left.Store(drainMax)
	b.limited.Store(true)
}

// Read reads as long as the budget allows.
func (b *budget) Read(p []byte) (int, error) {
	if b.limited.Load() && b.left.Load() <= 0 {
		return 0, errBudget
	}
	n, err := b.Conn.Read(p)
	b.left.Add(-int64(n))
	return n, err
}

// hijacker hands the websocket library a budget in place of the connection.
type hijacker struct {
	http.ResponseWriter

	conn *budget
}

// Hijack takes the connection over.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn.Conn = conn
	return h.conn, buffers, nil
}

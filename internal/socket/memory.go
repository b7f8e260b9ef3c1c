package socket

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Bounds of one tenant in one process.
const (
	tenantConnections = 20_000
	tenantBytes       = 128 << 20 // that its connections hold: frames that are not complete, queued frames, subscriptions
)

// Values of the metric's label share.
const (
	shareConnections = "connections"
	shareMemory      = "socket_memory"
)

// frameTimeout is how long a client may take to send a frame, unless the hub sets another.
const frameTimeout = 30 * time.Second

// usage is what the connections of one tenant use in this process.
type usage struct {
	open int // connections; the hub's mutex guards it

	mu    sync.Mutex
	held  map[*connection]int64 // bytes; connections that were ended for their memory are not in it
	total int64
}

// add counts bytes of a connection. When the tenant holds too many, it returns the connection that holds most.
func (u *usage) add(c *connection, bytes int64) (largest *connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, counted := u.held[c]; !counted {
		return nil
	}
	u.held[c] += bytes
	u.total += bytes
	if u.total <= tenantBytes {
		return nil
	}
	for other, held := range u.held {
		if largest == nil || held > u.held[largest] {
			largest = other
		}
	}
	u.remove(largest)
	return largest
}

func (u *usage) enter(c *connection) {
	u.open++
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held[c] = 0
}

func (u *usage) leave(c *connection) {
	u.open--
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remove(c)
}

// remove counts a connection no longer.
func (u *usage) remove(c *connection) {
	u.total -= u.held[c]
	delete(u.held, c)
}

// hold counts bytes that are kept for the client; negative: no longer. It ends the connection of the tenant that holds most
// when they are too many.
func (c *connection) hold(bytes int64) {
	if largest := c.use.add(c, bytes); largest != nil {
		c.hub.Count.ShareExceeded(c.of.bot.Tenant, shareMemory)
		largest.end(websocket.StatusPolicyViolation, "the connections of the tenant hold too much memory, this one most")
		largest.cut()
	}
}

// frame reads one frame. Its bytes count as held while they come.
func (c *connection) frame(ctx context.Context, socket *websocket.Conn) (
	kind websocket.MessageType, text []byte, err error,
) {
	kind, r, err := socket.Reader(ctx)
	if err != nil {
		return kind, nil, err
	}
	late := time.AfterFunc(c.hub.Frame, func() { c.end(websocket.StatusPolicyViolation, "a frame takes too long") })
	defer late.Stop()
	defer func() { c.hold(-int64(cap(text))) }()
	for {
		if len(text) == cap(text) {
			grown := slices.Grow(text, max(512, len(text)))
			c.hold(int64(cap(grown) - cap(text)))
			text = grown
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case errors.Is(err, io.EOF):
			return kind, text, nil
		case err != nil:
			return kind, text, err
		}
	}
}

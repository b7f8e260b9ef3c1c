package socket

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
)

// connection is one client of a channel.
type connection struct {
	hub    *Hub
	client Client
	of     identity // of the channel, as long as the connection lasts
	latest atomic.Pointer[bot.Channel]
	use    *usage // of the tenant
	id     string
	net    *budget       // what the frames come over
	rate   *rate.Limiter // shared by the channel
	began  time.Time

	out      chan []byte
	outBytes atomic.Int64
	gone     chan struct{}   // closed when nothing more is written
	cutOff   context.Context // ends when there is no time for a goodbye
	cut      context.CancelFunc
	goneOnce sync.Once
	status   websocket.StatusCode // with which it ends
	reason   string

	mu       sync.Mutex
	draining bool
	calls    map[string]context.CancelFunc // that run, by qid
	running  sync.WaitGroup
	subs     map[string]*subscription
}

func newConnection(h *Hub, ch *bot.Channel, client Client) *connection {
	random := make([]byte, 12)
	_, _ = rand.Read(random) // never fails
	cutOff, cut := context.WithCancel(context.Background())
	c := &connection{
		cutOff: cutOff, cut: cut,
		net: &budget{}, hub: h, client: client, of: identityOf(ch), id: h.name + "-" + hex.EncodeToString(random),
		began: time.Now(),
		out:   make(chan []byte, queueFrames), gone: make(chan struct{}),
		calls: map[string]context.CancelFunc{}, subs: map[string]*subscription{},
	}
	c.latest.Store(ch)
	return c
}

// channel returns the channel as it was when the client was last admitted.
func (c *connection) channel() *bot.Channel { return c.latest.Load() }

// admitted reports whether the client's token still opens the channel for its sender, and takes over how the channel is now.
// A connection of which that is not true ends. Everything that a connection does for its client begins with it: a
// connection lasts longer than a token, and the address of its sender may have been excluded meanwhile.
func (c *connection) admitted() bool {
	ch, ok := c.client.Channel()
	if !ok || identityOf(ch) != c.of {
		c.end(websocket.StatusPolicyViolation, "the token does not open this channel any more")
		return false
	}
	c.latest.Store(ch)
	return true
}

// speak serves the connection until either side ends it.
func (c *connection) speak(socket *websocket.Conn) {
	socket.SetReadLimit(frameMax)
	c.hub.Log.Info("websocket opened", "channel", c.channel().Code, "bot", c.of.bot.Bot, "connection", c.id, "remote_addr",
		c.client.Sender)
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(c.cutOff, cancel)
	defer stop()
	var writing sync.WaitGroup
	writing.Go(func() { c.write(ctx, socket) })
	writing.Go(func() { c.keepAlive(ctx, socket.Ping) })
	c.read(ctx, socket)
	c.end(websocket.StatusNormalClosure, "")
	c.abandon()
	c.cut()
	writing.Wait()
	_ = socket.CloseNow()
	c.hub.Log.Info("websocket ended", "channel", c.channel().Code, "bot", c.of.bot.Bot, "connection", c.id, "remote_addr",
		c.client.Sender, "status", int(c.status), "reason", c.reason, "duration_ms", time.Since(c.began).Milliseconds())
}

// read takes frames until the client is gone or must go.
func (c *connection) read(ctx context.Context, socket *websocket.Conn) {
	for bad := 0; ; {
		kind, text, err := c.frame(ctx, socket)
		if err != nil {
			if errors.Is(err, websocket.ErrMessageTooBig) {
				c.end(websocket.StatusMessageTooBig, "a frame has at most 1 MiB")
			}
			return
		}
		if kind != websocket.MessageText {
			c.end(websocket.StatusUnsupportedData, "frames are text")
			c.linger(socket)
			return
		}
		if !c.admitted() {
			c.linger(socket)
			return
		}
		call, err := readCall(text)
		if err != nil {
			c.count(call.name, err)
			c.answer(call, nil, err)
			if bad++; bad >= badFramesMax {
				c.end(websocket.StatusPolicyViolation, "too many bad frames")
				c.linger(socket)
				return
			}
			continue
		}
		bad = 0
		c.take(call)
		if c.ended() {
			c.linger(socket)
			return
		}
	}
}

// linger reads until the client is gone, so that the writer can send the close frame.
func (c *connection) linger(socket *websocket.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGracePeriod)
	defer cancel()
	for {
		if _, _, err := socket.Read(ctx); err != nil {
			return
		}
	}
}

// write sends the queued frames, and ends with a close frame.
func (c *connection) write(ctx context.Context, socket *websocket.Conn) {
	for {
		select {
		case frame := <-c.out:
			if !c.send(ctx, socket, frame) {
				return
			}
		case <-c.gone:
			c.flush(ctx, socket)
			_ = socket.Close(c.status, c.reason)
			return
		case <-ctx.Done():
			return
		}
	}
}

// flush sends what was queued before the end.
func (c *connection) flush(ctx context.Context, socket *websocket.Conn) {
	for {
		select {
		case frame := <-c.out:
			if !c.send(ctx, socket, frame) {
				return
			}
		default:
			return
		}
	}
}

func (c *connection) send(ctx context.Context, socket *websocket.Conn, frame []byte) bool {
	defer func() {
		c.outBytes.Add(-int64(len(frame)))
		c.hold(-int64(len(frame)))
	}()
	writing, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := socket.Write(writing, websocket.MessageText, frame); err != nil {
		c.end(websocket.StatusPolicyViolation, tooSlow)
		_ = socket.CloseNow()
		return false
	}
	return true
}

const tooSlow = "the client reads too slowly"

var errSlow = errors.New(tooSlow)

// queue puts a frame into the way out. A client that does not keep up is cut off.
func (c *connection) queue(frame []byte) error {
	if c.ended() {
		return errSlow
	}
	c.hold(int64(len(frame)))
	if c.outBytes.Add(int64(len(frame))) <= queueBytes {
		select {
		case c.out <- frame:
			return nil
		default:
		}
	}
	c.end(websocket.StatusPolicyViolation, tooSlow)
	c.cut()
	return errSlow
}

// notify sends a message that is not the answer to a call.
func (c *connection) notify(name string, body any) error {
	frame, err := encode(name, body)
	if err != nil {
		return err
	}
	return c.queue(frame)
}

// answer sends the answer to a call.
func (c *connection) answer(to call, r result, failed error) {
	frame, err := to.answerOf(r, failed)
	if err != nil {
		frame, err = to.answerOf(nil, fault.Wrap(fault.Internal, err, "the answer cannot be written as JSON"))
	}
	if err == nil {
		_ = c.queue(frame) // a client that is gone needs no answer
	}
}

func (c *connection) count(name string, err error) {
	how := "ok"
	if err != nil {
		how = string(problemOf(err).Kind)
	}
	if _, known := verbs()[name]; !known {
		name = "_"
	}
	c.hub.Count.Frame(name, how)
}

// ended reports whether nothing more is written to the client.
func (c *connection) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// end lets the writer say goodbye; the first reason counts.
func (c *connection) end(status websocket.StatusCode, reason string) {
	c.goneOnce.Do(func() {
		c.status, c.reason = status, reason
		c.net.limit()
		close(c.gone)
	})
}

// abandon cancels the calls that run for the connection, because the client has disconnected.
func (c *connection) abandon() {
	c.mu.Lock()
	c.draining = true
	for _, s := range c.subs {
		s.end()
	}
	clear(c.subs)
	c.mu.Unlock()
	c.cancelCalls()
	c.running.Wait()
}

// drain lets calls that run finish until ctx ends, then ends the connection.
func (c *connection) drain(ctx context.Context) {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	if !waitFor(ctx, &c.running) {
		c.cancelCalls()
		c.running.Wait()
	}
	c.end(websocket.StatusGoingAway, "the gateway stops: connect again")
}

func (c *connection) cancelCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cancel := range c.calls {
		cancel()
	}
}

// begin notes a call that runs, and that something does for the connection: finish ends the first, running.Done the second.
func (c *connection) begin(asked call) (ctx context.Context, finish func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := string(asked.qid)
	switch _, runs := c.calls[key]; {
	case c.draining:
		return nil, nil, fault.New(fault.Internal, "the gateway stops: connect again")
	case runs:
		return nil, nil, invalid("a call with this qid runs already")
	case len(c.calls) >= connectionCalls:
		return nil, nil, fault.New(fault.RateLimited, "%d calls of this connection run already", connectionCalls)
	case !c.rate.Allow():
		return nil, nil, fault.New(fault.RateLimited, "the channel makes more than %d calls a second", callsPerSecond)
	}
	leave, ok := c.client.Enter(asked.size)
	if !ok {
		return nil, nil, fault.New(fault.RateLimited, "the tenant has as many requests open at this gateway as it may have")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.calls[key] = cancel
	c.running.Add(1)
	return ctx, func() {
		cancel()
		leave()
		c.mu.Lock()
		delete(c.calls, key)
		c.mu.Unlock()
	}, nil
}

package socket

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// keepAlive checks at intervals whether the client is still admitted, and asks it for a sign of life, one ping at a time.
// It runs beside the writer: frames and the close frame do not wait for a pong.
func (c *connection) keepAlive(ctx context.Context, ping func(context.Context) error) {
	every := time.NewTicker(c.hub.Ping)
	defer every.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	idle := make(chan struct{}, 1) // holds a value while no ping waits for its pong
	idle <- struct{}{}
	for {
		select {
		case <-every.C:
		case <-c.gone:
			return
		case <-ctx.Done():
			return
		}
		if !c.admitted() {
			return
		}
		select {
		case <-idle:
			asking.Go(func() { c.expectPong(ctx, ping); idle <- struct{}{} })
		default:
		}
	}
}

// expectPong sends a ping and waits for its pong. A client that does not send one in time is cut off. The end of the
// connection alone does not end a ping: to cancel one while it is written would cut off the frames that are still queued.
func (c *connection) expectPong(ctx context.Context, ping func(context.Context) error) {
	err := errWaited
	for errors.Is(err, errWaited) {
		err = c.sign(ctx, ping)
	}
	if err != nil {
		c.end(websocket.StatusPolicyViolation, "no sign of life")
		c.cut()
	}
}

// errWaited reports that a ping was not sent: the library lets one wait 5 s for a frame that is being written, which may
// take writeTimeout.
var errWaited = errors.New("a frame is being written")

// sign sends one ping. The time for its pong begins with each, so that a long frame does not count.
func (c *connection) sign(ctx context.Context, ping func(context.Context) error) error {
	alive, cancel := context.WithTimeout(ctx, c.hub.Pong)
	defer cancel()
	err := ping(alive)
	if errors.Is(err, context.DeadlineExceeded) && alive.Err() == nil {
		return errWaited
	}
	return err
}

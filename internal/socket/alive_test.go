package socket

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// withholding is a client that reads, but withholds its pong.
type withholding struct {
	client

	address, id string
}

// dialWithholding returns a client that has read a ping and does not answer it.
func (s *server) dialWithholding() withholding {
	s.t.Helper()
	var pinged atomic.Bool
	c := withholding{client: s.dial(func(o *websocket.DialOptions) {
		o.OnPingReceived = func(context.Context, []byte) bool { pinged.Store(true); return false }
	})}
	for !pinged.Load() {
		c.id = c.ask(`["connection_info",{"qid":1}]`)["connectionid"].(string)
	}
	c.address, _ = Address(c.id)
	return c
}

// push sends a message to the client, as another process does.
func (c withholding) push(w *pubSub, data string) {
	c.t.Helper()
	request, err := Push(schemas.BotID{Tenant: "default", Bot: "shop"}, c.id, "paid", json.RawMessage(data))
	require.NoError(c.t, err)
	require.NoError(c.t, Pushed(w.serves[c.address](request)))
}

// withPing sets a short interval of pings and a long time for the pong.
func withPing(h *Hub) { h.Ping, h.Pong = 20*time.Millisecond, time.Hour }

// TestPing_FramesDoNotWait: a client whose pong is late receives its frames, more than the queue has room for.
func TestPing_FramesDoNotWait(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public(), withPing)
	c := s.dialWithholding()
	for range queueFrames + 44 {
		c.push(w, `{"n":1}`)
		name, _ := c.hear()
		require.Equal(t, "paid", name)
	}
	require.Equal(t, 1, s.counts.open())
}

// TestPing_CloseDoesNotWait: a gateway that stops writes the queued frames and the close frame before the pong.
func TestPing_CloseDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public(), withPing)
	c := s.dialWithholding()
	for range 3 {
		c.push(w, `7`)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); s.Close(context.Background()) }()
	for range 3 {
		name, body := c.hear()
		require.Equal(t, "paid", name)
		require.EqualValues(t, 7, body["data"])
	}
	require.Equal(t, websocket.StatusGoingAway, c.ends())
	<-closed
}

// TestPing_RevokedTokenDoesNotWait: the token is checked while a pong is awaited.
func TestPing_RevokedTokenDoesNotWait(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public(), withPing)
	c := s.dialWithholding()
	s.now.Store(nil)
	require.Equal(t, websocket.StatusPolicyViolation, c.ends())
}

// TestPing_SentAgainAfterALongFrame: a ping that waited too long for a frame to be written is not a missing pong.
func TestPing_SentAgainAfterALongFrame(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public(), withPing)
	c := newConnection(s.Hub, public(), clientOf(&s.now))
	var until []time.Time
	c.expectPong(t.Context(), func(ctx context.Context) error {
		end, _ := ctx.Deadline()
		if until = append(until, end); len(until) == 1 {
			return context.DeadlineExceeded
		}
		return nil
	})
	require.Len(t, until, 2)
	require.True(t, until[1].After(until[0]), "the time for the pong begins again")
	require.False(t, c.ended())

	c.expectPong(t.Context(), func(context.Context) error { return context.Canceled })
	require.True(t, c.ended())
	require.Error(t, c.cutOff.Err())
}

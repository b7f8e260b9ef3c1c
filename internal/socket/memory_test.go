package socket

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

func heldBy(s *server) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	use := s.tenants["default"]
	if use == nil {
		return 0
	}
	use.mu.Lock()
	defer use.mu.Unlock()
	return use.total
}

// TestMemory_LargestConnectionEnds: when the connections of a tenant hold too much, the one that holds most ends. Frames
// that are not complete count.
func TestMemory_LargestConnectionEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	small, large := s.dial(), s.dial()
	require.Equal(t, true, small.ask(`["connection_info",{"qid":1}]`)["success"])
	writer, err := large.Writer(t.Context(), websocket.MessageText)
	require.NoError(t, err)
	_, err = writer.Write([]byte(strings.Repeat(" ", frameMax/2)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return heldBy(s) >= frameMax/2 }, soon, time.Millisecond, "an unfinished frame is not counted")
	s.mu.Lock()
	use := s.tenants["default"]
	s.mu.Unlock()
	use.mu.Lock()
	use.total += tenantBytes - use.total - 100 // others hold the rest
	use.mu.Unlock()
	require.Equal(t, true, small.ask(`["connection_info",{"qid":2}]`)["success"])
	_ = large.ends()
	require.Equal(t, true, small.ask(`["connection_info",{"qid":3}]`)["success"])
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.connections) == 1 }, soon, time.Millisecond)
}

// TestMemory_NothingIsLeft: what was counted for frames, answers and subscriptions is counted no longer when they are gone.
func TestMemory_NothingIsLeft(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	require.Equal(t, true, c.ask(`["message",{"qid":1,"data":"` + strings.Repeat("a", 1000) + `"}]`)["success"])
	require.Eventually(t, func() bool { return heldBy(s) == 0 }, soon, time.Millisecond)
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","events":["a"],"objects":["` + strings.Repeat("o", 1000) + `"]}]`)["success"])
	require.Eventually(t, func() bool { return heldBy(s) > 1000 && heldBy(s) < 1100 }, soon, time.Millisecond)
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"s","expires":0}]`)["success"])
	require.Eventually(t, func() bool { return heldBy(s) == 0 }, soon, time.Millisecond)
	many := c.ask(`["subscribe",{"qid":1,"events":["a"],"objects":["x"` + strings.Repeat(`,"x"`, objectsMax) + `]}]`)
	require.Equal(t, "bad_event", many["error"].(map[string]any)["kind"])
	require.NoError(t, c.CloseNow())
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.tenants) == 0 }, soon, time.Millisecond)
}

// TestMemory_QueuedFramesCount: frames that a client did not read count.
func TestMemory_QueuedFramesCount(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	now := &s.now
	c := newConnection(s.Hub, public(), clientOf(now))
	require.NoError(t, s.enter(c))
	defer s.leave(c)
	require.NoError(t, c.queue(make([]byte, 1000)))
	require.EqualValues(t, 1000, heldBy(s))
}

// TestMemory_TenantConnections: a tenant has a number of connections over all of its channels.
func TestMemory_TenantConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	enter := func(tenant string) error {
		ch := public()
		ch.Tenant = tenant
		c := newConnection(s.Hub, ch, clientOf(&s.now))
		err := s.enter(c)
		if err == nil {
			s.leave(c)
		}
		return err
	}
	s.mu.Lock()
	s.tenants["default"] = &usage{open: tenantConnections, held: map[*connection]int64{}}
	s.mu.Unlock()
	require.ErrorIs(t, enter("default"), ErrFull)
	require.NoError(t, enter("other"))
	s.mu.Lock()
	s.tenants["default"].open--
	s.mu.Unlock()
	require.NoError(t, enter("default"))
	s.mu.Lock()
	delete(s.tenants, "default")
	s.mu.Unlock()
}

// TestMemory_SlowFrame: a frame that is never complete ends the connection, even of a client that answers pings between fragments.
func TestMemory_SlowFrame(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public(), func(h *Hub) { h.Frame = 2 * time.Second })
	c := s.dial()
	require.Equal(t, true, c.ask(`["connection_info",{"qid":1}]`)["success"])
	writer, err := c.Writer(t.Context(), websocket.MessageText)
	require.NoError(t, err)
	_, err = writer.Write([]byte(strings.Repeat(" ", 8<<10)))
	require.NoError(t, err)
	require.Equal(t, websocket.StatusPolicyViolation, c.ends())
}

// TestCalls_TakePlaces: a call takes a place of its tenant's share of the gateway, and returns it.
func TestCalls_TakePlaces(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	free := make(chan struct{}, 1)
	free <- struct{}{}
	client := clientOf(&s.now)
	client.Enter = func(int) (func(), bool) {
		select {
		case <-free:
			return func() { free <- struct{}{} }, true
		default:
			return nil, false
		}
	}
	c := newConnection(s.Hub, public(), client)
	require.NoError(t, s.enter(c))
	defer s.leave(c)
	_, finish, err := c.begin(call{qid: []byte("1")})
	require.NoError(t, err)
	_, _, err = c.begin(call{qid: []byte("2")})
	require.ErrorContains(t, err, "requests open")
	finish()
	_, finish, err = c.begin(call{qid: []byte("2")})
	require.NoError(t, err)
	finish()
}

package socket

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
)

// stuckScripts ignore the end of their context until they are released.
type stuckScripts struct{ begun, let chan struct{} }

func (s stuckScripts) Run(context.Context, *bot.Channel, string, time.Duration, func(*step.ScriptRun) error) (
	json.RawMessage, error,
) {
	close(s.begun)
	<-s.let
	return json.RawMessage(`{}`), nil
}

// TestClose_Bounded: a call that does not end does not keep the process, and its connection is cut off.
func TestClose_Bounded(t *testing.T) {
	t.Parallel()
	scripts := stuckScripts{make(chan struct{}), make(chan struct{})}
	defer close(scripts.let)
	s := serve(t, newPubSub(t), public(), func(h *Hub) { h.Scripts = scripts })
	c := s.dial()
	c.say(`["message",{"qid":1}]`)
	<-scripts.begun
	s.mu.Lock()
	var served *connection
	for _, served = range s.connections {
	}
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	closed := make(chan struct{})
	go func() { defer close(closed); s.Close(ctx) }()
	select {
	case <-closed:
	case <-time.After(soon):
		t.Error("Close waits for the call")
	}
	require.Error(t, served.cutOff.Err())
}

func subscriber() *bot.Channel {
	ch := public()
	ch.Type = bot.ChannelSubscriber
	return ch
}

// log is a text that a test reads while it is written.
type log struct {
	mu   sync.Mutex
	text []byte
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *log) String() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.text) }

// claims calls a function before each claim.
type claims struct {
	*pubSub

	before func()
}

func (c claims) Claim(ctx context.Context, tenant, key string) (bool, error) {
	c.before()
	return c.pubSub.Claim(ctx, tenant, key)
}

// TestSubscriber_StoppingGatewayClaimsNothing: another gateway may have a connection that stays.
func TestSubscriber_StoppingGatewayClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, subscriber())
	require.Equal(t, true, s.dial().ask(`["subscribe",{"qid":1,"events":[">"]}]`)["success"])
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	w.notify("shop", "orders.paid", `{"id":"e1"}`)
	require.Empty(t, w.claimed)
}

// TestSubscriber_EndedConnectionWantsNothing: a connection that was cut off, and is still there, claims no notice.
func TestSubscriber_EndedConnectionWantsNothing(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	one, two := serve(t, w, subscriber()), serve(t, w, subscriber())
	c := newConnection(one.Hub, subscriber(), clientOf(&one.now))
	require.NoError(t, one.enter(c))
	defer one.leave(c)
	require.NoError(t, c.listen(&subscription{id: "s", classes: []string{">"}}, time.Hour))
	defer c.unsubscribe("s")
	c.end(websocket.StatusPolicyViolation, tooSlow)
	w.notify("shop", "orders.paid", `{"id":"e1"}`)
	require.Empty(t, w.claimed)

	healthy := two.dial()
	require.Equal(t, true, healthy.ask(`["subscribe",{"qid":1,"events":[">"]}]`)["success"])
	w.notify("shop", "orders.paid", `{"id":"e2"}`)
	_, body := healthy.hear()
	require.Equal(t, "e2", body["event_id"])
}

// TestClose_ClaimedNoticesAreWritten: a notice that this process has claimed reaches its connection before that is closed.
func TestClose_ClaimedNoticesAreWritten(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	claiming, let := make(chan struct{}), make(chan struct{})
	s := serve(t, w, subscriber(), func(h *Hub) {
		h.Claims = claims{w, func() { close(claiming); <-let }}
	})
	c := s.dial()
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"events":[">"]}]`)["success"])
	var working sync.WaitGroup
	working.Go(func() { w.notify("shop", "orders.paid", `{"id":"e1"}`) })
	<-claiming
	working.Go(func() { s.Close(context.Background()) })
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed }, soon, time.Millisecond)
	require.Equal(t, true, c.ask(`["connection_info",{"qid":2}]`)["success"], "it was closed")
	close(let)
	name, body := c.hear()
	require.Equal(t, "event", name)
	require.Equal(t, "e1", body["event_id"])
	require.Equal(t, websocket.StatusGoingAway, c.ends())
	working.Wait()
}

// TestSubscriber_LostNoticeInTheLog: a notice that was claimed for a connection that then ended reaches no other one.
func TestSubscriber_LostNoticeInTheLog(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	var text log
	var c *connection
	s := serve(t, w, subscriber(), func(h *Hub) {
		h.Claims = claims{w, func() { c.end(websocket.StatusPolicyViolation, tooSlow) }}
		h.Log = slog.New(slog.NewTextHandler(&text, nil))
	})
	c = newConnection(s.Hub, subscriber(), clientOf(&s.now))
	require.NoError(t, s.enter(c))
	defer s.leave(c)
	require.NoError(t, c.listen(&subscription{id: "s", classes: []string{">"}}, time.Hour))
	defer c.unsubscribe("s")
	w.notify("shop", "orders.paid", `{"id":"e1"}`)
	require.Contains(t, text.String(), "event notification lost")
	require.Len(t, w.claimed, 1)
}

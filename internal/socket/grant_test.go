package socket

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// TestConnection_EndsWithItsToken: whatever would be done next for a client whose token opens the channel no longer ends the
// connection, and is not done.
func TestConnection_EndsWithItsToken(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(s *server, w *pubSub, c client, id string){
		"call":      func(_ *server, _ *pubSub, c client, _ string) { c.say(`["message",{"qid":1,"data":"late"}]`) },
		"bad frame": func(_ *server, _ *pubSub, c client, _ string) { c.say(`[]`) },
		"notice":    func(_ *server, w *pubSub, _ client, _ string) { w.notify("shop", "a", `{"id":"e1"}`) },
		"push": func(s *server, w *pubSub, _ client, id string) {
			request, err := Push(s.channel.BotID, id, "late", nil)
			require.NoError(s.t, err)
			require.ErrorContains(s.t, Pushed(w.serves[s.name](request)), "no such connection")
		},
		"ping": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPubSub(t)
			s := serve(t, w, public(), func(h *Hub) {
				if next == nil {
					h.Ping = 10 * time.Millisecond
				}
			})
			c := s.dial()
			id := c.ask(`["connection_info",{"qid":1}]`)["connectionid"].(string)
			require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"events":["a"]}]`)["success"])
			s.now.Store(nil)
			if next != nil {
				next(s, w, c, id)
			}
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			_, text, err := c.Read(ctx)
			require.Error(t, err, "it received %s", text)
			require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err), err)
			require.Empty(t, s.scripts.ran)
		})
	}
}

// TestConnection_TokenOfAnotherChannel: a token that was given to another channel does not carry the connection over.
func TestConnection_TokenOfAnotherChannel(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	other := public()
	other.ID = "id-2"
	s.now.Store(other)
	c.say(`["connection_info",{"qid":1}]`)
	require.Equal(t, websocket.StatusPolicyViolation, c.ends())
}

// TestConnection_ChannelAsItIsNow: what a channel may do is decided by its bot file of now, not of when the client connected.
func TestConnection_ChannelAsItIsNow(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	c := s.dial()
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"events":["a"]}]`)["success"])
	narrowed := public()
	narrowed.Opts.Capabilities = []string{capabilityScript}
	narrowed.IPMask = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	s.now.Store(narrowed)
	w.notify("shop", "a", `{"id":"e1"}`)
	name, body := c.hearAfter(`["message",{"qid":2}]`)
	require.Equal(t, "message_result", name, "it received a notice without the capability")
	require.Equal(t, "blocked", body["error"].(map[string]any)["kind"])
	require.Equal(t, []any{"svcscript"}, c.ask(`["connection_info",{"qid":3}]`)["capabilities"])
	s.now.Store(public())
	w.notify("shop", "a", `{"id":"e2"}`)
	_, body = c.hear()
	require.Equal(t, "e2", body["event_id"])

	only := public()
	only.Type = bot.ChannelSubscriber
	s.now.Store(only)
	require.Equal(t, "config", c.ask(`["message",{"qid":4}]`)["error"].(map[string]any)["kind"])
}

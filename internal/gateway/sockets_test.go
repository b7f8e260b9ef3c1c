package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/httpapi"
)

// changing is one channel that a token opens, or none.
type changing struct{ atomic.Pointer[bot.Channel] }

func (c *changing) ByToken(sum [32]byte) (*bot.Channel, bool) {
	ch := c.Load()
	return ch, ch != nil && sum == httpapi.DigestOf(tokenOfHook)
}

// TestGateway_SocketEndsWithItsGrant: a connection ends when its token, the address or the role of its sender would not open
// it any more.
func TestGateway_SocketEndsWithItsGrant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(`bot: shop
channel_roles: {ws: talk}
channels: [{code: c, type: public, opts: {roles: [talk]}}]
`), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	open := set.Bots()[0].Channels()[0]
	elsewhere, dumb := *open, *open
	elsewhere.IPMask = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	dumb.Opts.Roles = nil
	for name, then := range map[string]*bot.Channel{"token": nil, "ip_mask": &elsewhere, "roles": &dumb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channels := &changing{}
			channels.Store(open)
			_, s := listen(t, func(o *Options) { o.Channels = channels })
			header := http.Header{"Authorization": {"Bearer " + tokenOfHook}}
			conn, answer, err := websocket.Dial(t.Context(), "ws://"+s.Addr()+"/ws/token/v1", &websocket.DialOptions{HTTPHeader: header})
			require.NoError(t, err)
			if answer.Body != nil {
				_ = answer.Body.Close()
			}
			defer conn.CloseNow()
			ask := func() error {
				require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`["connection_info",{"qid":1}]`)))
				_, _, err := conn.Read(t.Context())
				return err
			}
			require.NoError(t, ask())
			channels.Store(then)
			require.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(ask()))
		})
	}
}

// TestGateway_SocketCallsTakePlaces: calls count among the requests of the tenant, by the size of their frames.
func TestGateway_SocketCallsTakePlaces(t *testing.T) {
	t.Parallel()
	o := Options{TenantRequests: 3, requests: &shares{}}
	enter := func(tenant string, bytes int) (func(), bool) {
		return o.socketClient(tenant, tokenOfHook, netip.Addr{}).Enter(bytes)
	}
	release, ok := enter("acme", bytesOfPlace)
	require.True(t, ok)
	_, ok = enter("acme", bytesOfPlace)
	require.False(t, ok)
	_, ok = enter("acme", 100)
	require.True(t, ok)
	_, ok = enter("other", bytesOfPlace)
	require.True(t, ok)
	release()
	_, ok = enter("acme", bytesOfPlace)
	require.True(t, ok)
	require.ErrorContains(t, o.enterShare(requestWithPlace(t), o.requests, "acme"), "requests open", "requests and calls have shares of their own")
}

func requestWithPlace(t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/exec", nil)
	return r.WithContext(context.WithValue(r.Context(), placeKey{}, &place{}))
}

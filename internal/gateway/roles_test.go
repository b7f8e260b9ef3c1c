package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
)

func TestPermitted_RoleOfTheUseNeeded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(`bot: shop
channel_roles: {exec: caller, ws: reader, files: filer, subscriptions: monitor}
channels: [{code: a, type: public, opts: {roles: [caller, monitor]}}, {code: b, type: public}]
`), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	all := map[string]string{bot.UseExec: "caller", bot.UseWS: "reader", bot.UseFiles: "filer", bot.UseSubscriptions: "monitor"}
	for at, has := range []map[string]bool{{bot.UseExec: true, bot.UseSubscriptions: true}, {}} {
		for use, role := range all {
			err := permitted(set.Bots()[0].Channels()[at], use)
			require.Equal(t, has[use], err == nil)
			if !has[use] {
				p, ok := errors.AsType[*httpapi.Problem](err)
				require.True(t, ok)
				require.Equal(t, []any{403, fault.Blocked}, []any{p.Status, p.Kind})
				require.Contains(t, p.Detail, "does not have the role "+role)
			}
		}
	}
	made, err := bot.ReadChannel(set.Bots()[0], []byte(`{"code":"c","type":"public"}`), bot.Options{})
	require.NoError(t, err)
	require.Equal(t, "caller", made.Lacks(bot.UseExec), "channels of the admin API need the role, too")
}

// TestRoles_NeededByEachUse asks every route of a channel with and without the role: a route without its check answers the
// channel that does not have the role.
func TestRoles_NeededByEachUse(t *testing.T) {
	t.Parallel()
	const file = "/files/6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51"
	for name, c := range map[string]struct {
		method, path, role string
		admitted           int // status with the role
	}{
		"exec":        {http.MethodPost, "/exec", "caller", http.StatusOK},
		"exec by GET": {http.MethodGet, "/exec", "caller", http.StatusOK},
		"websocket":   {http.MethodGet, "/ws/token/v1", "reader", http.StatusUpgradeRequired},
		"put a file":  {http.MethodPost, "/files", "filer", http.StatusUnsupportedMediaType},
		"get a file":  {http.MethodGet, file, "filer", http.StatusNotFound},
		"delete":      {http.MethodDelete, file, "filer", http.StatusNotFound},
		"link":        {http.MethodPost, file + "/links", "filer", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			ask := func(token string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(c.method, c.path, nil)
				r.Header.Set("Authorization", "Bearer "+token)
				return d.do(r)
			}
			requireProblem(t, ask(tokenWithoutRoles), http.StatusForbidden, fault.Blocked, "does not have the role "+c.role)
			require.Empty(t, d.runs.started, "no script ran")
			require.Equal(t, c.admitted, ask(tokenWithRoles).Code)
		})
	}
	d := newTestGateway(t)
	byPath := httptest.NewRequest(http.MethodGet, "/ws/token/v1/"+tokenWithoutRoles, nil)
	requireProblem(t, d.do(byPath), http.StatusForbidden, fault.Blocked, "does not have the role reader")
}

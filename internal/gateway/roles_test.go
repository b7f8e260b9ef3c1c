package gateway

import (
	"errors"
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

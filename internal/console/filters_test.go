package console

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestPageOf_OwnerAndPosition: a list has the rows of the tenant and the bot that a query names, from a row on.
func TestPageOf_OwnerAndPosition(t *testing.T) {
	t.Parallel()
	all := []schemas.BotID{{Tenant: "acme", Bot: "mall"}, {Tenant: "acme", Bot: "shop"}, {Tenant: "zeta", Bot: "shop"}}
	for query, want := range map[string][]schemas.BotID{
		"":                       all,
		"?tenant=acme":           all[:2],
		"?bot=shop":              all[1:],
		"?tenant=acme&bot=shop":  all[1:2],
		"?bot=shop&from=1":       all[2:],
		"?tenant=none&from=9999": {},
	} {
		r := httptest.NewRequest(http.MethodGet, "/bots"+query, nil)
		asked, err := ownedPageOf(r.URL.Query())
		require.NoError(t, err, query)
		rows := append([]schemas.BotID{}, all...)
		page, next := pageOf(r, asked, rows, func(id schemas.BotID) schemas.BotID { return id })
		require.Equal(t, want, page, query)
		require.Empty(t, next, query)
	}
	many := make([]schemas.BotID, rowsMax+1)
	page, next := pageOf(httptest.NewRequest(http.MethodGet, "/bots", nil), ownedPage{}, many,
		func(id schemas.BotID) schemas.BotID { return id })
	require.Len(t, page, rowsMax)
	require.Contains(t, next, "from=100")
	for _, bad := range []string{"?tenant=a.b", "?from=x"} {
		_, err := ownedPageOf(httptest.NewRequest(http.MethodGet, "/bots"+bad, nil).URL.Query())
		require.Error(t, err, bad)
	}
}

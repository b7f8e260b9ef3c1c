package schemas_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestNotice_NoticesFollowTheirSchema(t *testing.T) {
	t.Parallel()
	for _, class := range []string{"orders", "orders.paid.now", "a.b.c.d.e.f.g.h"} {
		notice, err := schemas.NewNotice(schemas.BotID{Tenant: "default", Bot: "shop"}, class, "A1", time.Now(), json.RawMessage(`[1]`))
		require.NoError(t, err)
		raw, err := schemas.Marshal(notice)
		require.NoError(t, err)
		require.NoError(t, validateJSON(schema(t, schemas.SchemaNotice), raw))
	}
	for _, class := range []string{"", "a b", "a..b", "*", "a.>", "a.b.c.d.e.f.g.h.i"} {
		_, err := schemas.NewNotice(schemas.BotID{Tenant: "default", Bot: "shop"}, class, "", time.Now(), nil)
		require.ErrorContains(t, err, "a class of events")
		raw, err := json.Marshal(schemas.Notice{SpecVersion: "1.0", ID: "1", Source: "/x", Type: class, DataContentType: "application/json"})
		require.NoError(t, err)
		require.Error(t, validateJSON(schema(t, schemas.SchemaNotice), raw), class)
	}
}

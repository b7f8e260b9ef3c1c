package schemas_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestAudit_EveryActionFollowsTheSchema(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	for _, action := range schemas.AuditActions() {
		require.True(t, schemas.IsToken(string(action)))
		for of, source := range map[schemas.BotID]string{
			shop: "/hookturn/default/shop", {Tenant: "default"}: "/hookturn/default", {Bot: "shop"}: "/hookturn/_/shop", {}: "/hookturn",
		} {
			event := schemas.NewAuditEvent(time.Now(), "x", schemas.Audited{
				BotID: of, Operation: "0c7a4a55-6f1e-4f0b-8a53-2f8f0f6f9b11", Action: action, Result: schemas.AuditDone,
				Actor: schemas.AuditActor{Name: "ann", Role: "owner", Via: "admin_api", From: "::1"},
			})
			require.Equal(t, source, event.Source)
			raw, err := json.Marshal(event)
			require.NoError(t, err)
			require.NoError(t, validateJSON(schema(t, schemas.SchemaAudit), raw))
		}
	}
	require.Equal(t, "hookturn.audit.default.shop.bot_pause", schemas.AuditSubject(shop, schemas.AuditBotPause))
	require.Equal(t, "hookturn.audit._._.setup", schemas.AuditSubject(schemas.BotID{}, schemas.AuditSetup))
}

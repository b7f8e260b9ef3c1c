package permissions

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestEngine_ForgedMessageID publishes an event under the Nats-Msg-Id of another tenant's event, before the gateway and the
// tools of an operator publish that one. JetStream compares the ids over all tenants.
func TestEngine_ForgedMessageID(t *testing.T) {
	t.Parallel()
	for _, handled := range []bool{false, true} {
		for _, user := range []string{Starter, Tools, Operator} {
			t.Run(fmt.Sprintf("%s, handled: %t", user, handled), func(t *testing.T) {
				t.Parallel()
				r := startRig(t)
				ctx := testContext(t)
				victim := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
				_, globex := r.engine(t, "globex")
				forged, err := globex.Publish(ctx, "hookturn.events.globex.shop.c-1", []byte(`{}`),
					jetstream.WithMsgID(schemas.EventMsgID(victim, "e-1")))
				require.NoError(t, err)
				_, owner := r.connect(t, Operator)
				events, err := owner.Stream(ctx, schemas.StreamEvents)
				require.NoError(t, err)
				if handled {
					require.NoError(t, events.DeleteMsg(ctx, forged.Sequence))
				}

				_, js := r.connect(t, user)
				data := []byte(`{"specversion":"1.0","id":"e-1"}`)
				seq, _, err := bus.NewPublisher(js).PublishEvent(ctx, victim, data, "e-1", nil)
				require.NoError(t, err)
				stored, err := events.GetMsg(ctx, seq)
				require.NoError(t, err)
				require.Equal(t, data, stored.Data, "the event is stored")
				require.Contains(t, stored.Subject, ".acme.shop.c-1")
			})
		}
	}
}

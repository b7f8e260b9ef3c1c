package bus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// TestBus_HostileIDsLeaveTheConnectionOpen sends every hostile text by every way on which a stranger's text comes in.
func TestBus_HostileIDsLeaveTheConnectionOpen(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	ctx, pubsub := testContext(t), NewPubSub(js)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, text := range natstest.Hostile() {
		if !schemas.IsClassPattern(text) {
			_, err := pubsub.Notices(shop, text, func(string, []byte) {})
			require.Error(t, err, name)
		}
		require.Error(t, pubsub.Notify(shop, text, nil), name)
		require.Error(t, pubsub.Advise(schemas.BotID{Tenant: "acme", Bot: text}, nil), name)
		_, err := pubsub.Request(ctx, text, nil)
		require.Error(t, err, name)
		if name != "wildcard" && name != "all" { // the filters among them
			require.Error(t, Follow(ctx, js, Tail{ConversationKey: schemas.BotID{Tenant: text}.WithConversation("")}, nil, nil), name)
			_, err = NewDeadLetters(js, s).List(ctx, DeadLetterFilter{BotID: schemas.BotID{Bot: text}})
			require.Error(t, err, name)
		}
		require.NoError(t, Ready(ctx, js), name)
		require.False(t, js.Conn().IsClosed(), name)
	}
}

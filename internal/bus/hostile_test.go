package bus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/schemas"
)

// TestBus_HostileIDsLeaveTheConnectionOpen sends every hostile text by every way on which a stranger's text comes in.
func TestBus_HostileIDsLeaveTheConnectionOpen(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	ctx, notifications := testContext(t), pubsub.New(js)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, text := range natstest.Hostile() {
		if !schemas.IsClassPattern(text) {
			_, err := notifications.Notices(shop, text, func(string, []byte) {})
			require.Error(t, err, name)
		}
		require.Error(t, notifications.Notify(shop, text, nil), name)
		require.Error(t, notifications.Advise(schemas.BotID{Tenant: "acme", Bot: text}, nil), name)
		_, err := notifications.Request(ctx, text, nil)
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

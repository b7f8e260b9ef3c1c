package erase

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestKeyOf_WorkflowIDs(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	for _, id := range []string{step.ConversationID(key), step.ID(key, "e-1")} {
		got, ok := keyOf(id)
		require.True(t, ok, id)
		require.Equal(t, key, got)
	}
	for _, id := range []string{step.QueueID(key.BotID, "ORDER"), "conversation/acme", "", "script/a/b/c"} {
		_, ok := keyOf(id)
		require.False(t, ok, id)
	}
}

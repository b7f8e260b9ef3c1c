package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestAwaited_Stored checks from when replies are read: a step may have waited for its entities for hours.
func TestAwaited_Stored(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")
	for eventType, fresh := range map[string]time.Duration{
		schemas.TypeStepRequested: clockDrift, schemas.TypeConversationEnded: clockDrift, schemas.TypeEntitiesCollected: repliesKept,
	} {
		a := awaitedOf(key, "e-1", eventType)
		require.Equal(t, now.Add(-fresh), a.stored(now, false), eventType)
		require.Zero(t, a.since)
		require.Equal(t, now.Add(-repliesKept), a.stored(now, true), eventType)
		require.NotZero(t, a.since)
	}
}

package schemas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestAnswerTypes_EveryEvent holds the reply types that answer an event under ids of its own (docs/engines.md).
func TestAnswerTypes_EveryEvent(t *testing.T) {
	t.Parallel()
	replied := []string{schemas.TypeStepReplied, schemas.TypeStepWaiting}
	want := map[string][]string{
		schemas.TypeStepRequested: replied, schemas.TypeMessageReceived: replied, schemas.TypeConversationEvent: replied,
		schemas.TypeConversationHandover: replied,
		schemas.TypeEntitiesCollected:    {schemas.TypeStepWaiting, schemas.TypeStepReplied},
		schemas.TypeConversationEnded:    {schemas.TypeConversationClosed, schemas.TypeStepReplied},
	}
	for _, eventType := range schemas.EventTypes() {
		require.Equal(t, want[eventType], schemas.AnswerTypes(eventType), eventType)
		require.Equal(t, eventType == schemas.TypeEntitiesCollected, schemas.AnswersWaiting(eventType))
	}
}

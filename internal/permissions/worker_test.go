package permissions

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestWorker_FindsReplies: a worker may look for the reply of a step that it repeats, also for one behind the latest.
func TestWorker_FindsReplies(t *testing.T) {
	t.Parallel()
	_, js := startRig(t).connect(t, Worker)
	streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{})
	require.NoError(t, err)
	replies := bus.NewReplies(js, streams)
	owner := schemas.BotID{Tenant: "acme", Bot: "shop"}
	of := owner.WithConversation("c-1")
	for _, replyType := range []string{schemas.TypeStepReplied, schemas.TypeConversationClosed} {
		reply := schemas.Reply{
			SpecVersion: "1.0", ID: schemas.ReplyID(of, "e1", replyType), Type: replyType, Subject: "c-1",
			Source: owner.Source(), Data: json.RawMessage(`{}`),
		}
		for range 2 {
			_, err = replies.PublishReply(testContext(t), owner, reply)
			require.NoError(t, err)
		}
		found, err := replies.FindReply(testContext(t), of, schemas.ReplyID(of, "e1", schemas.TypeStepReplied), time.Time{}.AddDate(2000, 0, 0))
		require.NoError(t, err)
		require.NotNil(t, found)
	}
}

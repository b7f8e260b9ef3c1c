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

// TestCode_ServesScripts: both users that may run scripts get the requests of gateways, and no other user may send one.
func TestCode_ServesScripts(t *testing.T) {
	t.Parallel()
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for _, user := range []string{Code, Worker} {
		r := startRig(t)
		_, starter := r.connect(t, Starter)
		_, worker := r.connect(t, user)
		stop, err := bus.NewPubSub(worker).ServeScripts(1, func(request []byte, _ int) []byte { return request }, nil)
		require.NoError(t, err)
		require.NoError(t, worker.Conn().Flush())
		answer, err := bus.NewPubSub(starter).CallScript(testContext(t), shop, []byte("x"))
		require.NoError(t, err, user)
		require.Equal(t, "x", string(answer))
		_, err = bus.NewPubSub(worker).CallScript(testContext(t), shop, []byte("x"))
		require.ErrorContains(t, err, "hookturn.scripts", "a worker that is taken over runs no script elsewhere")
		stop(testContext(t))
	}
}

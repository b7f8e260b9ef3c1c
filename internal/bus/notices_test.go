package bus

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/schemas"
)

// receivedNotices returns the notices to the WebSocket connections of the shop from now on.
func receivedNotices(t *testing.T, p *pubsub.PubSub) <-chan schemas.Notice {
	t.Helper()
	received := make(chan schemas.Notice, 10)
	stop, err := p.Notices(shopID(), "hookturn.>", func(class string, text []byte) {
		var n schemas.Notice
		if json.Unmarshal(text, &n) == nil && n.Type == class {
			received <- n
		}
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	return received
}

func TestSystemNotices_StepEndedHandoverClosed(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	received := receivedNotices(t, pubsub.New(js))
	publish := func(kind, data string) schemas.Reply {
		reply := aReply()
		reply.ID, reply.Type, reply.Data = reply.ID+"/"+kind+data[:20], kind, json.RawMessage(data)
		return reply
	}
	ended := publish(schemas.TypeStepReplied, `{"event_id":"e-1","step":"ORDER","outcome":"bot_break","messages":[{"type":"text","text":"private"}],
		"error":{"kind":"timeout","message":"private"}}`)
	_, err := NewReplies(streams).Publish(testContext(t), shopID(), ended)
	require.NoError(t, err)
	n := <-received
	require.Equal(t, []string{schemas.ClassStepEnded, ended.ID, ended.Subject}, []string{n.Type, n.ID, n.Subject})
	require.JSONEq(t, `{"event_id":"e-1","step":"ORDER","outcome":"bot_break","error":{"kind":"timeout"}}`, string(n.Data))

	p := NewPublisher(js)
	require.NoError(t, p.PublishReply(testContext(t), shopID(), publish(schemas.TypeStepWaiting, `{"event_id":"e-2","missing":["otp"]}`)))
	require.NoError(t, p.PublishReply(testContext(t), shopID(),
		publish(schemas.TypeStepReplied, `{"event_id":"e-2","step":"ORDER","outcome":"handover"}`)))
	require.Equal(t, schemas.ClassStepEnded, (<-received).Type, "a waiting step does not count as ended")
	require.Equal(t, schemas.ClassConversationHandover, (<-received).Type)
	require.NoError(t, p.PublishReply(testContext(t), shopID(),
		publish(schemas.TypeStepReplied, `{"event_id":"e-3","step":"agents","outcome":"delivered","conversation":"handover"}`)))
	require.Equal(t, schemas.ClassStepEnded, (<-received).Type)
	n = <-received
	require.Equal(t, schemas.ClassConversationHandover, n.Type, "a TwoWay adapter took the conversation over")
	require.JSONEq(t, `{"event_id":"e-3","step":"agents","outcome":"delivered"}`, string(n.Data))
	require.NoError(t, p.PublishReply(testContext(t), shopID(), publish(schemas.TypeConversationClosed, `{"reason":"idle","workflow":{}}`)))
	n = <-received
	require.Equal(t, schemas.ClassConversationClosed, n.Type)
	require.JSONEq(t, `{"reason":"idle"}`, string(n.Data))
}

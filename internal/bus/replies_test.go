package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func shopID() schemas.BotID { return schemas.BotID{Tenant: "acme", Bot: "shop"} }

func TestReplies_PublishReturnsWhatIsStored(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(js, streams)
	first, second := aReply(), aReply()
	second.Data = json.RawMessage(`{"text":"another"}`)
	before, err := r.PublishReply(testContext(t), shopID(), first)
	require.NoError(t, err)
	require.Nil(t, before)
	before, err = r.PublishReply(testContext(t), shopID(), second)
	require.NoError(t, err)
	require.NotNil(t, before, "a reply of the same id was there")
	require.JSONEq(t, string(first.Data), string(before.Data))
}

func TestReplies_Find(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(js, streams)
	publish := func(event, replyType string) string {
		reply := aReply()
		reply.ID, reply.Type = schemas.ReplyID(shopID().WithConversation("chat 1"), event, replyType), replyType
		_, err := r.PublishReply(testContext(t), shopID(), reply)
		require.NoError(t, err)
		return reply.ID
	}
	find := func(id string, since time.Time) *schemas.Reply {
		found, err := r.FindReply(testContext(t), shopID().WithConversation("chat 1"), id, since)
		require.NoError(t, err)
		return found
	}
	anHourAgo, inAnHour := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	require.Nil(t, find("unknown", anHourAgo), "a conversation without replies")
	first := publish("e-1", schemas.TypeStepReplied)
	require.Equal(t, first, find(first, anHourAgo).ID, "the latest reply")
	publish("e-1", schemas.TypeConversationClosed)
	require.Equal(t, first, find(first, anHourAgo).ID, "a reply behind the latest")
	require.Nil(t, find("unknown", anHourAgo), "a reply that is not there")
	require.Nil(t, find(first, inAnHour), "a reply from before the step")
	other, err := r.FindReply(testContext(t), shopID().WithConversation("chat 2"), first, anHourAgo)
	require.NoError(t, err)
	require.Nil(t, other, "another conversation's reply")
}

// TestReplies_FindUsesNoConsumer: a worker that takes over many conversations looks for a reply in each of them at once.
// Consumers, which the server writes to its disk one after another, would make it wait; and the search must end with its
// context.
func TestReplies_FindUsesNoConsumer(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(js, streams)
	of := shopID().WithConversation("chat 1")
	const replies = 20
	for i := range replies {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", i)
		_, err := r.PublishReply(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	requests := make(chan *nats.Msg, 10*replies)
	watch, err := js.Conn().ChanSubscribe("$JS.API.>", requests)
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush())
	found, err := r.FindReply(testContext(t), of, "unknown", time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Nil(t, found)
	require.NoError(t, js.Conn().Flush())
	require.NoError(t, watch.Unsubscribe())
	close(requests)
	subjects := map[string]int{}
	for m := range requests {
		subjects[m.Subject]++
	}
	require.Equal(t, map[string]int{"$JS.API.STREAM.MSG.GET." + schemas.StreamReplies: 1 + replies}, subjects)

	ended, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err = r.FindReply(ended, of, "unknown", time.Now().Add(-time.Hour))
	require.ErrorIs(t, err, context.Canceled)
}

// TestPublisher_DoesNotGiveUp: JetStream may be unable to store for longer than any number of tries.
func TestPublisher_DoesNotGiveUp(t *testing.T) {
	t.Parallel()
	js := connectTo(t, startServer(t)) // no streams: the subscriber below answers in their place
	tries := 0
	_, err := js.Conn().Subscribe(schemas.SubjectReplies+".>", func(m *nats.Msg) {
		if tries++; tries < 10 {
			_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10077,"description":"no store"}}`))
			return
		}
		_ = m.Respond([]byte(`{"stream":"X","seq":1}`))
	})
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush())
	require.NoError(t, NewPublisher(js).PublishReply(testContext(t), shopID(), aReply()))
	require.Equal(t, 10, tries)
}

package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func shopID() schemas.BotID { return schemas.BotID{Tenant: "acme", Bot: "shop"} }

func TestReplies_PublishReturnsWhatIsStored(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	first, second := aReply(), aReply()
	second.Data = json.RawMessage(`{"text":"another"}`)
	before, err := r.Publish(testContext(t), shopID(), first)
	require.NoError(t, err)
	require.Nil(t, before)
	before, err = r.Publish(testContext(t), shopID(), second)
	require.NoError(t, err)
	require.NotNil(t, before, "a reply of the same id was there")
	require.JSONEq(t, string(first.Data), string(before.Data))
}

func TestReplies_Find(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	publish := func(event, replyType string) string {
		reply := aReply()
		reply.ID, reply.Type = schemas.ReplyID(shopID().WithConversation("chat 1"), event, replyType), replyType
		_, err := r.Publish(testContext(t), shopID(), reply)
		require.NoError(t, err)
		return reply.ID
	}
	find := func(id string, since time.Time) *schemas.Reply {
		found, err := r.Find(testContext(t), shopID().WithConversation("chat 1"), id, since)
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
	other, err := r.Find(testContext(t), shopID().WithConversation("chat 2"), first, anHourAgo)
	require.NoError(t, err)
	require.Nil(t, other, "another conversation's reply")
}

// TestReplies_FindReadsBatches: a worker that takes over many conversations looks for a reply in each of them at once.
// Consumers, which the server writes to its disk one after another, would make it wait; a request for each reply would let an
// engine with many of them use the server up; and the search must end with its context.
func TestReplies_FindReadsBatches(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	of, anHourAgo := shopID().WithConversation("chat 1"), time.Now().Add(-time.Hour)
	const replies = searchedReplies + 10
	for n := range replies {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", n)
		m, err := replyMessage(shopID(), reply)
		require.NoError(t, err)
		_, err = js.PublishMsgAsync(m, jetstream.WithStallWait(soon))
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	last := fmt.Sprint("r-", replies-1)
	find := func(id string) (found bool, requests map[string]int) {
		sent := make(chan *nats.Msg, 2*replies)
		watch, err := js.Conn().ChanSubscribe("$JS.API.>", sent)
		require.NoError(t, err)
		require.NoError(t, js.Conn().Flush())
		reply, err := r.Find(testContext(t), of, id, anHourAgo)
		require.NoError(t, err)
		require.NoError(t, js.Conn().Flush())
		require.NoError(t, watch.Unsubscribe())
		close(sent)
		requests = map[string]int{}
		for m := range sent {
			if m.Subject != "$JS.API.CONSUMER.CREATE."+schemas.StreamAudit { // the server's own, which copies audit events
				requests[m.Subject]++
			}
		}
		return reply != nil, requests
	}
	single, batch := "$JS.API.STREAM.MSG.GET."+schemas.StreamReplies, "$JS.API.DIRECT.GET."+schemas.StreamReplies
	for _, c := range []struct {
		id       string
		found    bool
		requests map[string]int
	}{
		{last, true, map[string]int{single: 1}},
		{"r-0", true, map[string]int{single: 1, batch: 1}},
		{fmt.Sprint("r-", searchedReplies-1), true, map[string]int{single: 1, batch: 4}},
		{fmt.Sprint("r-", searchedReplies), false, map[string]int{single: 1, batch: 4}},
		{"unknown", false, map[string]int{single: 1, batch: 4}},
	} {
		found, requests := find(c.id)
		require.Equal(t, c.found, found, c.id)
		require.Equal(t, c.requests, requests, c.id)
	}

	ended, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := r.Find(ended, of, "unknown", anHourAgo)
	require.ErrorIs(t, err, context.Canceled)
}

// TestReplies_FindReadsBoundedBytes: replies can be large, too.
func TestReplies_FindReadsBoundedBytes(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	r := NewReplies(streams)
	const size = 512 << 10
	for n := range searchedBytes/size + 2 {
		reply := aReply()
		reply.ID, reply.Data = fmt.Sprint("r-", n), json.RawMessage(`"`+strings.Repeat("x", size)+`"`)
		_, err := r.Publish(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	for id, read := range map[string]bool{
		"r-0": true, fmt.Sprint("r-", searchedBytes/size-1): true, fmt.Sprint("r-", searchedBytes/size): false,
	} {
		found, err := r.Find(testContext(t), shopID().WithConversation("chat 1"), id, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Equal(t, read, found != nil, id)
	}
}

// TestReplies_FindWithoutDirectReads: a stream of an earlier release is searched too.
func TestReplies_FindWithoutDirectReads(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	config := streams.replies.CachedInfo().Config
	config.AllowDirect = false
	_, err := js.UpdateStream(testContext(t), config)
	require.NoError(t, err)
	r := NewReplies(streams)
	for n := range 3 {
		reply := aReply()
		reply.ID = fmt.Sprint("r-", n)
		_, err := r.Publish(testContext(t), shopID(), reply)
		require.NoError(t, err)
	}
	for id, stored := range map[string]bool{"r-0": true, "r-1": true, "r-2": true, "r-3": false} {
		found, err := r.Find(testContext(t), shopID().WithConversation("chat 1"), id, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Equal(t, stored, found != nil, id)
	}
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

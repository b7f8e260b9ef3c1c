package bus

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func aReply() schemas.Reply {
	return schemas.Reply{SpecVersion: "1.0", ID: schemas.ReplyID(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("chat 1"), "e-1", schemas.TypeStepReplied),
		Source: "/hookturn/acme/shop", Type: schemas.TypeStepReplied, Subject: "chat 1", Time: time.Unix(0, 0).UTC(),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b", Data: json.RawMessage(`{"text":"<b>&"}`)}
}

func TestPublishReply_StoresItOnce(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	p := NewPublisher(js)
	require.NoError(t, p.PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, aReply()))
	require.NoError(t, p.PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, aReply()))
	info, err := streams.replies.Info(testContext(t))
	require.NoError(t, err)
	require.Equal(t, uint64(1), info.State.Msgs)

	stored, err := streams.replies.GetMsg(testContext(t), 1)
	require.NoError(t, err)
	require.Equal(t, schemas.Subject(schemas.SubjectReplies, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("chat 1")), stored.Subject)
	require.Equal(t, aReply().ID, stored.Header.Get("Nats-Msg-Id"))
	require.Equal(t, aReply().TraceParent, stored.Header.Get("traceparent"))
	require.Equal(t, "a=b", stored.Header.Get("tracestate"))
	require.Contains(t, string(stored.Data), `"<b>&"`)
	var back schemas.Reply
	require.NoError(t, json.Unmarshal(stored.Data, &back))
	require.Equal(t, aReply(), back)
}

func TestPublisher_ReplyThatIsTooLargeIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	reply := aReply()
	reply.Data = json.RawMessage(`"` + strings.Repeat("x", schemas.MessageMax) + `"`)
	err := NewPublisher(js).PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, reply)
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
}

// TestPublishReply_LongTraceState: a reply is stored whatever the engine sent as the trace of its event.
func TestPublishReply_LongTraceState(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	reply := aReply()
	reply.TraceState = strings.Repeat("x", 65_500)
	require.NoError(t, NewPublisher(js).PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, reply))
	stored, err := streams.replies.GetMsg(testContext(t), 1)
	require.NoError(t, err)
	require.Empty(t, stored.Header.Get(HeaderTraceState))
}

func TestPublishReply_WaitsForTheStreamUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	js := connectTo(t, startServer(t)) // no streams yet
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() {
		done <- NewPublisher(js).PublishReply(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}, aReply())
	}()
	_, err := Setup(ctx, js, StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, <-done)
	cancel()
	require.ErrorIs(t, NewPublisher(js).PublishReply(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, aReply()), context.Canceled)
}

func TestPublishEvent(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	p := NewPublisher(js)
	header := nats.Header{"traceparent": {"00-1-2-01"}, "Nats-TTL": {"90s"}, "Nats-Expected-Last-Sequence": {"77"}}
	seq, duplicate, err := p.PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("chat 1"), []byte("{}"), "id-1", header)
	require.NoError(t, err)
	require.False(t, duplicate)
	again, duplicate, err := p.PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("chat 1"), []byte("{}"), "id-1", header)
	require.NoError(t, err)
	require.True(t, duplicate)
	require.Equal(t, seq, again)

	stored, err := streams.events.GetMsg(testContext(t), seq)
	require.NoError(t, err)
	require.Equal(t, eventRoot+"acme.shop."+schemas.ConversationToken("chat 1"), streams.EventSubject(stored.Subject))
	require.Equal(t, "00-1-2-01", stored.Header.Get(HeaderTraceParent))
	require.Empty(t, stored.Header.Get("Nats-TTL"), "the server would remove the event without a trace")
	require.WithinDuration(t, stored.Time.Add(90*time.Second), Expires(stored.Header, stored.Time), time.Minute)
	require.Equal(t, []string{"90s"}, header["Nats-TTL"], "the caller's headers are its own")
}

func TestPublishEvent_Refusals(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{Sizes: map[string]int64{"events": 96 << 10}})
	p := NewPublisher(js)
	_, _, err := p.PublishEvent(testContext(t), schemas.BotID{Tenant: "ac.me", Bot: "shop"}.WithConversation("c"), nil, "1", nil)
	require.Equal(t, fault.BadEvent, fault.Of(err).Kind)
	_, _, err = p.PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c"), make([]byte, schemas.MessageMax+1), "2", nil)
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
	long := nats.Header{"Long": {strings.Repeat("x", 65_500)}}
	_, _, err = p.PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c"), []byte("{}"), "2", long)
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
	_, _, err = p.PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c"), make([]byte, 128<<10), "3", nil)
	require.Equal(t, fault.QueueFull, fault.Of(err).Kind)
}

// TestPublishEvent_OneConversation: a conversation whose engine does not stop fills its part of the stream, and no more. A stream
// of an earlier release has the bound once its partitions are changed.
func TestPublishEvent_OneConversation(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Partitions: 1})
	ctx, p := testContext(t), NewPublisher(js)
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c")
	for range WaitingMax {
		_, err := js.PublishAsync(schemas.Subject(schemas.SubjectEvents, key), nil, jetstream.WithStallWait(soon))
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		require.NoError(t, ctx.Err())
	}
	_, _, err := p.PublishEvent(ctx, key, []byte("{}"), "id-1", nil)
	require.Equal(t, fault.QueueFull, fault.Of(err).Kind, "%v", err)
	require.NoError(t, Ready(ctx, js))
	_, _, err = p.PublishEvent(ctx, key.BotID.WithConversation("c-2"), []byte("{}"), "id-1", nil)
	require.NoError(t, err)

	require.NoError(t, streams.events.Purge(ctx))
	config := streams.events.CachedInfo().Config
	config.MaxMsgsPerSubject, config.DiscardNewPerSubject = -1, false
	_, err = js.UpdateStream(ctx, config)
	require.NoError(t, err)
	_, err = Repartition(ctx, js, 2)
	require.NoError(t, err)
	info, err := streams.events.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, WaitingMax, info.Config.MaxMsgsPerSubject)
	require.True(t, info.Config.DiscardNewPerSubject)
}

// equalIDs are conversations that have an event of one id.
func equalIDs() []schemas.ConversationKey {
	return []schemas.ConversationKey{
		schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-2"),
		schemas.BotID{Tenant: "acme", Bot: "mall"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "bcme", Bot: "shop"}.WithConversation("c-1"),
	}
}

func TestPublisher_EqualEventIDs(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	p, ctx := NewPublisher(js), testContext(t)
	for _, key := range equalIDs() {
		_, duplicate, err := p.PublishEvent(ctx, key, []byte("{}"), "e1", nil)
		require.NoError(t, err)
		require.False(t, duplicate, "%v", key)
		reply, err := schemas.NewReply(key, "e1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{})
		require.NoError(t, err)
		require.NoError(t, p.PublishReply(ctx, key.BotID, reply))
		_, duplicate, err = p.PublishEvent(ctx, key, []byte("{}"), "e1", nil)
		require.NoError(t, err)
		require.True(t, duplicate, "%v", key)
	}
	info, err := streams.replies.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, len(equalIDs()), info.State.Msgs)
}

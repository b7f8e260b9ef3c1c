package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

var shop = schemas.BotID{Tenant: "default", Bot: "shop"}

func setup(t *testing.T) (bus.JetStream, bus.Streams) {
	t.Helper()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	return js, streams
}

func options(s bus.Streams) Options {
	return Options{
		Rate: 1e6, Stored: store.NewRedrives(s), Each: func(uint64, string) {},
		Retry: func(ctx context.Context, request func(context.Context) error) error { return request(ctx) },
	}
}

func event(id, conversation string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/e","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",`+
		`"subject":%q,"data":{"step":"ORDER"}}`, id, conversation)
}

// write stores a dead letter.
func write(t *testing.T, l *bus.DeadLetters, n uint64, conversation string, kind fault.Kind, header nats.Header) {
	t.Helper()
	require.NoError(t, l.Write(t.Context(), &bus.FailedEvent{
		BotID: shop, Conversation: conversation, Subject: "hookturn.events.default.shop." + conversation, Sequence: n, Header: header,
		Data: []byte(event(fmt.Sprintf("e-%d", n), conversation)), Received: time.Now(),
	}, fault.New(kind, "a test")))
}

// published returns the ids of the stored events, in stream order.
func published(t *testing.T, js bus.JetStream) []string {
	t.Helper()
	stream, err := js.Stream(t.Context(), schemas.StreamEvents)
	require.NoError(t, err)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	var ids []string
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		require.NoError(t, err)
		e, err := schemas.DecodeEvent(m.Data)
		require.NoError(t, err)
		ids = append(ids, e.ID)
	}
	return ids
}

// TestLetters_InterruptedRedriveContinues interrupts a redrive before an event, and behind it before that was noted, and
// starts it again.
func TestLetters_InterruptedRedriveContinues(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]int{"before an event": 17, "behind an event": 18} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			interrupted(t, last)
		})
	}
}

// unknown is the answer of conversations that do not know an event.
func unknown(context.Context, bus.DeadLetter) (bool, error) { return false, nil }

// interrupted kills a redrive in a request, and checks what another one makes of it.
func interrupted(t *testing.T, killedIn int) {
	t.Helper()
	js, streams := setup(t)
	stored := bus.NewDeadLetters(js, streams)
	for n := range uint64(40) {
		write(t, stored, n+1, fmt.Sprintf("c-%d", n%4), fault.UnknownBot, nil)
	}
	write(t, stored, 41, "c-1", fault.BadEvent, nil)
	write(t, stored, 42, "c-1", fault.UnknownBot, nats.Header{"Nats-TTL": {"1ns"}})
	letters := &Letters{Known: unknown, Stored: stored, Filter: bus.DeadLetterFilter{Reason: fault.UnknownBot}}

	letters.Known = func(_ context.Context, letter bus.DeadLetter) (bool, error) { return letter.EventSequence == 7, nil }
	count, err := letters.Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, Count{ByReason: map[string]int{"unknown_bot": 39}, LeftOut: map[string]int{LeftExpired: 1, LeftKnown: 1}}, count)
	letters.Known = unknown

	o, killed := options(streams), errors.New("killed")
	calls := 0
	o.Retry = func(ctx context.Context, request func(context.Context) error) error {
		if calls++; calls >= killedIn {
			return killed
		}
		return request(ctx)
	}
	p, err := letters.Run(t.Context(), o, "reason=unknown_bot")
	require.ErrorIs(t, err, killed)
	require.Positive(t, Total(p.Done))
	before := len(published(t, js))
	require.Less(t, before, 40)
	write(t, stored, 43, "c-2", fault.UnknownBot, nil) // fails while the redrive is interrupted

	p, err = letters.Run(t.Context(), options(streams), "reason=unknown_bot")
	require.NoError(t, err)
	require.True(t, p.Resumed)
	require.True(t, p.Finished)
	require.Equal(t, map[string]int{"unknown_bot": 40}, p.Done, "the one in which it was killed is counted once")
	require.Equal(t, map[string]int{LeftExpired: 1}, p.LeftOut)
	var want []string
	for n := range 40 {
		want = append(want, fmt.Sprintf("e-%d", n+1))
	}
	require.Equal(t, want, published(t, js), "each once, in order, and only what was there at the start")
	left, err := stored.List(t.Context(), bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, left, 3)

	p, err = letters.Run(t.Context(), options(streams), "reason=unknown_bot")
	require.NoError(t, err)
	require.False(t, p.Resumed, "a finished redrive begins again")
	require.Equal(t, 1, Total(p.Done))
}

// TestLetters_InBinaryMode: the attributes of an event may be headers of its message.
func TestLetters_InBinaryMode(t *testing.T) {
	t.Parallel()
	js, streams := setup(t)
	stored := bus.NewDeadLetters(js, streams)
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	for n, id := range []string{"expired", "answered"} {
		header := nats.Header{
			"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/x"}, "ce-type": {schemas.TypeStepRequested},
			"ce-time": {"2020-11-28T12:00:00Z"}, "ce-subject": {key.Conversation}, "Content-Type": {"application/json"},
		}
		if id == "expired" {
			header["ce-expirytime"] = []string{"2020-11-28T12:00:01Z"}
		}
		require.NoError(t, stored.Write(t.Context(), &bus.FailedEvent{
			BotID: key.BotID, Conversation: key.Conversation, Subject: schemas.Subject(schemas.SubjectEvents, key),
			Data: []byte(`{"step":"ORDER"}`), Header: header, Sequence: uint64(n + 1), Received: time.Now(),
		}, fault.New(fault.UnknownStep, "there is no such step")))
	}
	reply, err := schemas.NewReply(key, "answered", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{
		EventID: "answered", Outcome: schemas.OutcomeRejected, Workflow: schemas.WorkflowRef{ID: "w", RunID: "r"},
	})
	require.NoError(t, err)
	_, err = bus.NewReplies(streams).Publish(t.Context(), key.BotID, reply)
	require.NoError(t, err)

	temporal := mocks.NewClient(t)
	temporal.On("DescribeWorkflowExecution", mock.Anything, "w", mock.Anything).Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{FirstRunId: "r"}}, nil)
	known := &inspect.Inspector{Streams: streams}
	letters := &Letters{Stored: stored, Known: func(ctx context.Context, letter bus.DeadLetter) (bool, error) {
		return known.Knows(ctx, letter, func() (client.Client, error) { return temporal, nil })
	}}
	count, err := letters.Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{LeftExpired: 1, LeftKnown: 1}, count.LeftOut)
	require.Empty(t, count.ByReason)
}

func TestSteps_ListedUntilTheyEndWell(t *testing.T) {
	t.Parallel()
	js, streams := setup(t)
	publisher := bus.NewPublisher(js)
	reply := func(event, asked, replyType string, outcome schemas.Outcome, kind string) {
		data := schemas.StepReplied{EventID: asked, Step: "ORDER", Outcome: outcome}
		if asked == "queued" {
			data.Workflow.ID = step.QueueID(shop, "ORDER")
		}
		if kind != "" {
			data.Error = &schemas.Error{Kind: kind}
		}
		r, err := schemas.NewReply(shop.WithConversation("c 1"), event, replyType, time.Now(), data)
		require.NoError(t, err)
		require.NoError(t, publisher.PublishReply(t.Context(), shop, r))
	}
	reply("good", "good", schemas.TypeStepReplied, schemas.OutcomeSuccess, "")
	reply("broken", "broken", schemas.TypeStepReplied, schemas.OutcomeBotBreak, "status")
	reply("repaired", "repaired", schemas.TypeStepReplied, schemas.OutcomeFailure, "timeout")
	reply("repaired/r1", "repaired", schemas.TypeStepLate, schemas.OutcomeSuccess, "")
	reply("again", "again", schemas.TypeStepReplied, schemas.OutcomeUndelivered, "status")
	reply("again/r1", "again", schemas.TypeStepLate, schemas.OutcomeUndelivered, "status")
	reply("again/r2", "again", schemas.TypeStepLate, schemas.OutcomeRejected, "unknown_step")
	reply("handed", "handed", schemas.TypeStepReplied, schemas.OutcomeHandover, "status")
	reply("handed", "handed", schemas.TypeStepLate, schemas.OutcomeFailure, "")
	reply("replayed", "replayed", schemas.TypeStepReplied, schemas.OutcomeRejected, "unknown_bot")
	reply("replayed", "replayed", schemas.TypeStepLate, schemas.OutcomeBotBreak, "status")
	reply("served", "served", schemas.TypeStepReplied, schemas.OutcomeRejected, "unknown_bot")
	reply("served", "served", schemas.TypeStepLate, schemas.OutcomeSuccess, "")
	reply("queued", "queued", schemas.TypeStepReplied, schemas.OutcomeAccepted, "")
	reply("queued", "queued", schemas.TypeStepLate, schemas.OutcomeFailure, "status")

	list := func(f StepFilter) (ids []string) {
		found, err := (&Steps{Inspector: &inspect.Inspector{Streams: streams}, Filter: f}).List(t.Context())
		require.NoError(t, err)
		for _, s := range found {
			require.Equal(t, "c 1", s.Conversation)
			ids = append(ids, fmt.Sprint(s.EventID, s.Repeated))
		}
		return ids
	}
	require.Equal(t, []string{"broken0", "again2", "replayed0"}, list(StepFilter{}))
	require.Equal(t, []string{"broken0", "replayed0"}, list(StepFilter{BotID: shop, Conversation: "c 1", Outcome: schemas.OutcomeBotBreak}))
	require.Equal(t, []string{"broken0", "again2", "replayed0"}, list(StepFilter{Kind: "status", Step: "ORDER", Since: time.Now().Add(-time.Hour)}))
	require.Empty(t, list(StepFilter{Kind: "timeout"}))
	require.Empty(t, list(StepFilter{Until: time.Now().Add(-time.Hour)}))
	require.Empty(t, list(StepFilter{BotID: schemas.BotID{Bot: "bank"}}))
}

func TestEvent_Repeat(t *testing.T) {
	t.Parallel()
	first, err := schemas.DecodeEvent([]byte(event("e-1", "c 1")))
	require.NoError(t, err)
	require.Equal(t, "e-1", first.AskedID())
	again := first.Repeat(1)
	third := again.Repeat(3)
	raw, err := json.Marshal(third)
	require.NoError(t, err)
	read, err := schemas.DecodeEvent(raw)
	require.NoError(t, err)
	require.Equal(t, "e-1/r3", read.ID)
	require.Equal(t, "e-1", read.Repeats())
	require.Equal(t, "e-1", read.AskedID())
	require.Equal(t, first.Data, read.Data)
	replayed, again := first.Replay(), third.Replay()
	require.Equal(t, []string{"e-1", "e-1"}, []string{replayed.ID, replayed.Repeats()})
	require.Equal(t, []string{"e-1/r3", "e-1"}, []string{again.ID, again.Repeats()})
	require.Empty(t, first.Repeats())
}

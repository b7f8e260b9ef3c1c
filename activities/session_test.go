package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// sessions is a store of sessions. Another worker can write before the next Put.
type sessions struct {
	all       map[schemas.ConversationKey]store.Session
	conflicts int
	fault     error
}

func (s *sessions) Get(_ context.Context, of schemas.ConversationKey) (store.Session, error) {
	return s.all[of], s.fault
}

func (s *sessions) Put(_ context.Context, of schemas.ConversationKey, next store.Session) (bool, error) {
	if s.conflicts > 0 {
		s.conflicts--
		return false, nil
	}
	next.Revision++
	s.all[of] = next
	return s.fault == nil, s.fault
}

// router is a bundle whose bot has a bot's and an agents' adapter with events endpoints.
func router(t *testing.T) (*bundle, *sessions) {
	t.Helper()
	b, s := setup(t), &sessions{all: map[schemas.ConversationKey]store.Session{}}
	b.activities.Sessions, b.activities.MayHaveSessions = s, func(schemas.BotID) bool { return true }
	b.activities.Chats = noChats{}
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusCreated, ""), nil }
	b.publish = func(schemas.Reply) error { return nil }
	return b, s
}

type noChats struct{}

func (noChats) Remember(_ context.Context, _ schemas.BotID, _, conversation string, _ int64) (string, error) {
	return conversation, nil
}

// deliver is a request to an adapter for an event of a round.
func (b *bundle) deliver(t *testing.T, adapter, round, eventType, event string) {
	t.Helper()
	b.deliverAt(t, time.Time{}, adapter, round, eventType, event)
}

// deliverAt is deliver by a step that began at a time.
func (b *bundle) deliverAt(t *testing.T, began time.Time, adapter, round, eventType, event string) {
	t.Helper()
	b.events++
	_, err := b.call(step.WebhookInput{
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: adapter, Dialect: bot.DialectTwoWay, OnFailure: bot.OnFailureUndelivered,
			Adapter: &bot.Adapter{Name: adapter, Account: "a", Channel: "WhatsApp", Host: "h", Events: "https://" + adapter + ".example/events"},
			Webhook: &bot.Webhook{
				URL: "https://" + adapter + ".example/messages", Headers: map[string]string{"X-Key": "1"},
				Timeout: bot.Duration(time.Minute), AttemptTimeout: bot.Duration(10 * time.Second), Retry: bot.Retry{MaxAttempts: 4},
			},
		},
		Event: schemas.Event{
			ID: "e" + string(rune('0'+b.events)), Subject: "c-1", Type: eventType,
			Data: schemas.EventData{
				Message: json.RawMessage(`{"type":"text","text":"hi"}`), Event: json.RawMessage(event),
				Params: map[string]json.RawMessage{"conversationClientId": json.RawMessage(`"+31612"`)},
			},
		},
		User: schemas.User{ID: "91"}, Round: round, ConversationNo: 1, Deadline: time.Now().Add(time.Minute),
		Accepted: began,
	})
	require.NoError(t, err)
}

func (b *bundle) close(t *testing.T, reason string) error {
	t.Helper()
	return b.closeAt(t, time.Time{}, reason)
}

// closeAt is close by the workflow at a time.
func (b *bundle) closeAt(t *testing.T, at time.Time, reason string) error {
	t.Helper()
	return b.closeFor(t, time.Time{}, at, reason)
}

// closeFor is closeAt for an event that was stored at a time.
func (b *bundle) closeFor(t *testing.T, stored, at time.Time, reason string) error {
	t.Helper()
	data, err := json.Marshal(schemas.ConversationClosed{Reason: reason})
	require.NoError(t, err)
	_, err = b.ExecuteActivity(step.ActivityPublish, step.PublishInput{
		BotID: schemas.BotID{Tenant: "default", Bot: "shop"},
		Reply: schemas.Reply{ID: "r", Subject: "c-1", Type: schemas.TypeConversationClosed, Data: data, Time: at},
		Sent:  stored,
	})
	return err
}

// queued are the events that wait for their adapters.
func (b *bundle) announced(t *testing.T) (list []string, inputs []step.WebhookInput) {
	t.Helper()
	for _, entry := range b.queue.entries {
		var q step.Queued
		require.NoError(t, json.Unmarshal(entry, &q))
		require.Equal(t, "c-1", q.Conversation)
		require.Equal(t, schemas.TypeConversationEvent, q.Webhook.Event.Type)
		list, inputs = append(list, q.Webhook.Event.ID+" "+string(q.Webhook.Event.Data.Event)), append(inputs, q.Webhook)
	}
	b.queue.entries = nil
	return list, inputs
}

func TestSession_StartHandoverEnd(t *testing.T) {
	t.Parallel()
	b, s := router(t)
	s.conflicts = 1
	b.deliver(t, "robot", "e1", schemas.TypeMessageReceived, "")
	list, inputs := b.announced(t)
	require.Equal(t, `e1/RouterSessionStarted/robot {"type":"RouterSessionStarted"}`, list[0], "another worker wrote in between: the same id again")
	require.Equal(t, list[0], list[1])
	require.Equal(t, "https://robot.example/events", inputs[0].Plan.Webhook.URL)
	require.Regexp(t, "^robot-session-[0-9a-f]$", inputs[0].Plan.Step, "the queue")
	require.Empty(t, inputs[0].Plan.Webhook.Headers, "they belong to the message endpoint")
	require.Equal(t, bot.ModeBackground, inputs[0].Plan.Webhook.Mode, "a delivery in the background publishes no reply itself")
	require.Empty(t, inputs[0].Plan.Adapter.Events, "delivering it is not part of a session")
	require.Equal(t, json.RawMessage(`"+31612"`), inputs[0].Event.Data.Params["conversationClientId"])

	b.deliver(t, "robot", "e1", schemas.TypeMessageReceived, "")
	list, _ = b.announced(t)
	require.Empty(t, list, "the session has begun")

	b.deliver(t, "agents", "e1", schemas.TypeConversationHandover, "")
	list, _ = b.announced(t)
	require.Equal(t, []string{
		`e1/RouterSessionStarted/agents {"type":"RouterSessionStarted"}`,
		`e3/RouterSessionHandedOver/robot {"type":"RouterSessionHandedOver"}`,
		`e3/RouterSessionHandedOver/agents {"type":"RouterSessionHandedOver"}`,
	}, list)

	require.NoError(t, b.close(t, "completed"))
	ended := []string{
		`e1/RouterSessionEnded/robot {"reason":"completed","type":"RouterSessionEnded"}`,
		`e1/RouterSessionEnded/agents {"reason":"completed","type":"RouterSessionEnded"}`,
	}
	list, _ = b.announced(t)
	require.Equal(t, ended, list)
	require.NoError(t, b.close(t, "completed"))
	list, _ = b.announced(t)
	require.Empty(t, list, "a session ends once")
}

func TestSession_IdleRoundEndsBeforeTheNext(t *testing.T) {
	t.Parallel()
	b, _ := router(t)
	b.deliver(t, "robot", "e1", schemas.TypeMessageReceived, "")
	b.announced(t)
	b.deliver(t, "robot", "e2", schemas.TypeMessageReceived, "")
	list, _ := b.announced(t)
	require.Equal(t, []string{
		`e1/RouterSessionEnded/robot {"reason":"idle","type":"RouterSessionEnded"}`, `e2/RouterSessionStarted/robot {"type":"RouterSessionStarted"}`,
	}, list)
}

// TestSession_PausedWorkerChangesNothing: a worker that was paused goes on when a later step has joined or ended a session. It
// neither ends that session nor begins its own again.
func TestSession_PausedWorkerChangesNothing(t *testing.T) {
	t.Parallel()
	b, s := router(t)
	key, began := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"), time.Now()
	b.deliverAt(t, began, "robot", "e1", schemas.TypeMessageReceived, "")
	b.deliverAt(t, began.Add(time.Second), "robot", "e2", schemas.TypeMessageReceived, "")
	b.announced(t)

	live, log := s.all[key], b.logged()
	b.deliverAt(t, began, "robot", "e1", schemas.TypeMessageReceived, "")
	require.NoError(t, b.closeAt(t, began.Add(500*time.Millisecond), "completed"))
	list, _ := b.announced(t)
	require.Empty(t, list)
	require.Equal(t, 2, strings.Count(log.String(), `level=INFO msg="session of a later step kept"`))
	require.Equal(t, live, s.all[key])

	b.deliverAt(t, began.Add(time.Second), "agents", "e2", schemas.TypeMessageReceived, "")
	list, _ = b.announced(t)
	require.Len(t, list, 1, "an adapter of the live round")
	require.NoError(t, b.closeAt(t, began.Add(2*time.Second), "completed"))
	list, _ = b.announced(t)
	require.Len(t, list, 2)
	b.deliverAt(t, began.Add(time.Second), "robot", "e2", schemas.TypeMessageReceived, "")
	list, _ = b.announced(t)
	require.Empty(t, list, "the session has ended")
	require.Empty(t, s.all[key].Data)
	b.deliverAt(t, began.Add(3*time.Second), "robot", "e3", schemas.TypeMessageReceived, "")
	list, _ = b.announced(t)
	require.Len(t, list, 1, "the next round")
}

// TestSession_ClosedWithTheAnswer: an attempt that closes the conversation itself does so by the worker's clock, which may be
// ahead. The session ends behind its step, and the next round begins.
func TestSession_ClosedWithTheAnswer(t *testing.T) {
	t.Parallel()
	b, s := router(t)
	key, began := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"), time.Now().Add(-time.Hour)
	b.deliverAt(t, began, "robot", "e1", schemas.TypeMessageReceived, "")
	b.announced(t)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Accepted, in.Reply, in.CloseEvent, in.Plan.EndStep = "c-1", began.Add(time.Second), true, "e9", true
	in.Stored = in.Accepted.Add(time.Millisecond) // by a clock that is ahead of the server's
	b.answer = nil
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, schemas.ClosedCompleted, result.Closed)
	list, _ := b.announced(t)
	require.Len(t, list, 1)
	require.Equal(t, in.Stored.UnixNano()+1000, s.all[key].Fence)
	b.deliverAt(t, began.Add(time.Second), "robot", "e1", schemas.TypeMessageReceived, "") // a second attempt that was paused
	b.deliverAt(t, began.Add(2*time.Second), "robot", "e2", schemas.TypeMessageReceived, "")
	list, _ = b.announced(t)
	require.Len(t, list, 1)
	require.Contains(t, list[0], "e2/RouterSessionStarted")
}

// TestSession_ServerClockBehind: the clock of the Temporal server is behind that of NATS since the session has begun. The close
// is not before its event.
func TestSession_ServerClockBehind(t *testing.T) {
	t.Parallel()
	b, s := router(t)
	began := time.Now()
	b.deliverAt(t, began, "robot", "e1", schemas.TypeMessageReceived, "")
	require.NoError(t, b.closeFor(t, began, began.Add(-10*time.Minute), "completed"))
	list, _ := b.announced(t)
	require.Len(t, list, 2)
	require.Empty(t, s.all[schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")].Data)
}

// TestCallWebhook_ChatOfALaterStep: a later step has stored another conversation of the chat, which stays.
func TestCallWebhook_ChatOfALaterStep(t *testing.T) {
	t.Parallel()
	b, _ := router(t)
	b.activities.Chats, b.local = otherChats{}, true
	log := b.logged()
	b.deliver(t, "robot", "e1", schemas.TypeMessageReceived, "")
	require.Contains(t, log.String(), `level=INFO msg="chat of a later step kept"`)
}

type otherChats struct{}

func (otherChats) Remember(context.Context, schemas.BotID, string, string, int64) (string, error) {
	return "another", nil
}

// TestSession_EventsKeepTheChat: an event about a session is delivered later, when the client may write in another
// conversation: the chat stays with that one.
func TestSession_EventsKeepTheChat(t *testing.T) {
	t.Parallel()
	b, _ := router(t)
	chats := &notedChats{}
	b.activities.Chats = chats
	b.deliver(t, "robot", "e1", schemas.TypeMessageReceived, "")
	require.Equal(t, 1, chats.remembered)
	for _, about := range []string{"RouterSessionStarted", "RouterSessionHandedOver", "RouterSessionEnded"} {
		b.deliver(t, "robot", "e1", schemas.TypeConversationEvent, `{"type":"`+about+`"}`)
	}
	require.Equal(t, 1, chats.remembered)
	b.deliver(t, "robot", "e1", schemas.TypeConversationEvent, `{"type":"Typing"}`)
	require.Equal(t, 2, chats.remembered)
}

type notedChats struct{ remembered int }

func (c *notedChats) Remember(_ context.Context, _ schemas.BotID, _, conversation string, _ int64) (string, error) {
	c.remembered++
	return conversation, nil
}

func TestSession_None(t *testing.T) {
	t.Parallel()
	b, s := router(t)
	b.deliver(t, "robot", "", schemas.TypeMessageReceived, "") // a run of an earlier release
	b.deliver(t, "robot", "e2", schemas.TypeConversationEvent, `{"type":"RouterSessionEnded"}`)
	s.fault = errors.New("no NATS")
	b.deliver(t, "robot", "e3", schemas.TypeMessageReceived, "") // the message is delivered all the same
	list, _ := b.announced(t)
	require.Empty(t, list)
	require.Len(t, b.requests, 3)
	require.ErrorContains(t, b.close(t, "completed"), "no NATS", "the activity is tried again")
	s.fault = nil
	require.NoError(t, b.close(t, "completed"))

	b.deliver(t, "robot", "e4", schemas.TypeMessageReceived, "")
	b.queue.full = fault.New(fault.QueueFull, "full")
	require.NoError(t, b.close(t, "completed"), "a queue that is full does not keep the conversation open")
}

// TestSession_NoReply: the engine did not send the events about sessions, so it gets no replies to them.
func TestSession_NoReply(t *testing.T) {
	t.Parallel()
	b, _ := router(t)
	var published []string
	b.publish = func(r schemas.Reply) error { published = append(published, r.ID); return nil }
	for id, event := range map[string]string{
		"session": "e1/RouterSessionEnded/robot", "other step": "e1/RouterSessionEnded/agents", "background": "e1", "odd": "/robot",
		"short": "RouterSessionEnded/robot",
	} {
		data, err := json.Marshal(schemas.StepReplied{EventID: event, Step: "robot-session-7", Outcome: schemas.OutcomeFailure})
		require.NoError(t, err)
		_, err = b.ExecuteActivity(step.ActivityPublish, step.PublishInput{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Reply: schemas.Reply{ID: id, Subject: "c-1", Type: schemas.TypeStepLate, Data: data},
		})
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{"other step", "background", "odd", "short"}, published)
}

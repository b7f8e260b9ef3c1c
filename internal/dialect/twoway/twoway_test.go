package twoway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/dialecttest"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func full() dialect.Context {
	return dialect.Context{
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "agents",
			Adapter: &bot.Adapter{Name: "agents", Account: "acc-1", Channel: "CXWebConversations", Host: "shop"},
		},
		Event: schemas.Event{
			ID: "e1", Type: schemas.TypeMessageReceived, Subject: "c-42", Time: time.Date(2026, 11, 20, 13, 0, 0, 5e8, time.FixedZone("", 3600)),
			Data: schemas.EventData{Message: json.RawMessage(`{"type":"text","text":"hello","extra":1.50}`)},
		},
		User: schemas.User{ID: "91", FullName: `Ann "A" O'Hara`}, ConversationNo: 3,
	}
}

func TestTwoWay_Conformance(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, twoway.New(), dialecttest.Fixtures{Context: full(), Good: []byte(`{}`), IgnoresBody: true, TakesEmpty: true})
}

func encoded(t *testing.T, c dialect.Context) string {
	t.Helper()
	r, err := twoway.New().Encode(c)
	require.NoError(t, err)
	return string(r.Body)
}

type envelope struct {
	Chat     map[string]any   `json:"chat"`
	Messages []map[string]any `json:"conversationMessages"`
	Events   []map[string]any `json:"conversationEvents"`
	Targets  []map[string]any `json:"targetAdaptersInfo"`
}

func decoded(t *testing.T, c dialect.Context) envelope {
	t.Helper()
	var e envelope
	require.NoError(t, json.Unmarshal([]byte(encoded(t, c)), &e))
	return e
}

func TestTwoWay_Message(t *testing.T) {
	t.Parallel()
	e := decoded(t, full())
	require.Equal(t, []map[string]any{{
		"$type": "text", "text": "hello", "extra": 1.5, "id": "e1", "direction": "ClientOriginated",
		"createdOn": "2026-11-20T12:00:00.500Z",
	}}, e.Messages)
	require.Empty(t, e.Events)
	require.Equal(t, []map[string]any{{"adapterId": "agents", "isBot": false}}, e.Targets)
	require.Equal(t, map[string]any{
		"id": twoway.ChatID("91", "shop", "CXWebConversations"), "sessionId": e.Chat["sessionId"], "accountId": "acc-1",
		"channel": "CXWebConversations", "conversationClientId": "91", "conversationHostId": "shop",
		"conversationClientName": `Ann "A" O'Hara`,
	}, e.Chat)

	named := full()
	named.Event.Data.Message = json.RawMessage(`{"type":"media","id":"m7","url":"https://x.example/a.png","direction":"x"}`)
	message := decoded(t, named).Messages[0]
	require.Equal(t, "m7", message["id"], "a message keeps an id of its own")
	require.Equal(t, "media", message["$type"])
	require.Equal(t, "ClientOriginated", message["direction"])
}

func TestTwoWay_SessionEvent(t *testing.T) {
	t.Parallel()
	c := full()
	c.Event.Type = schemas.TypeConversationEvent
	c.Event.Data = schemas.EventData{Event: json.RawMessage(`{"type":"RouterSessionEnded","why":"left"}`)}
	e := decoded(t, c)
	require.Empty(t, e.Messages)
	require.Equal(t, "RouterSessionEnded", e.Events[0]["$type"])
	require.Equal(t, "left", e.Events[0]["why"])
	require.NotContains(t, e.Events[0], "direction")
}

func TestChatID_IsStable(t *testing.T) {
	t.Parallel()
	id := twoway.ChatID("a", "b", "c")
	require.Equal(t, id, twoway.ChatID("a", "b", "c"))
	for _, other := range [][3]string{{"x", "b", "c"}, {"a", "x", "c"}, {"a", "b", "x"}, {"ab", "", "c"}, {"b", "a", "c"}} {
		require.NotEqual(t, id, twoway.ChatID(other[0], other[1], other[2]))
	}
}

func TestTwoWay_ParamsSayWhoTalks(t *testing.T) {
	t.Parallel()
	c := full()
	c.Event.Data.Params = map[string]json.RawMessage{
		"conversationClientId": json.RawMessage(`"+316"`), "conversationHostId": json.RawMessage(`"+318"`),
		"channel": json.RawMessage(`"WhatsApp"`), "conversationClientName": json.RawMessage(`"Bo"`),
	}
	chat := decoded(t, c).Chat
	require.Equal(t, twoway.ChatID("+316", "+318", "WhatsApp"), chat["id"])
	require.Equal(t, "Bo", chat["conversationClientName"])

	anonymous := full()
	anonymous.User = schemas.User{}
	require.Equal(t, "c-42", decoded(t, anonymous).Chat["conversationClientId"], "the conversation when nothing is known")

	c.Event.Data.Params["channel"] = json.RawMessage(`7`)
	_, err := twoway.New().Encode(c)
	require.EqualError(t, fault.Of(err), "bad_event: /data/params/channel: it must be a string")

	c.Event.Data.Params["channel"] = json.RawMessage(`"whatsapp"`)
	_, err = twoway.New().Encode(c)
	require.EqualError(t, fault.Of(err), "bad_event: /data/params/channel: it must be one of Apple Business Chat, iMessage, "+
		"WhatsApp, Line, Push, RCS, SMS, Viber, Voice, Facebook Messenger, MobilePush, CXWebConversations, Instagram, "+
		"Telegram Messenger, Slack, Microsoft Teams: did you mean WhatsApp?")
}

func TestTwoWay_Handover(t *testing.T) {
	t.Parallel()
	c := full()
	c.Event.Type = schemas.TypeConversationHandover
	c.Event.Data = schemas.EventData{Context: json.RawMessage(`{"skill":"sales"}`)}
	c.Plan.Adapter.Body = `{"id":"{{$conversationClientId}}","ch":"$channel","context":$context}`
	c.User.ID = `9"1`
	require.JSONEq(t, `{"id":"9\"1","ch":"CXWebConversations","context":{"skill":"sales"}}`, encoded(t, c))

	c.Plan.Adapter.Body, c.Event.Data.Context = "", nil
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(encoded(t, c)), &body))
	require.Len(t, body, 7)
	require.Equal(t, map[string]any{}, body["context"])

	c.Plan.Adapter.Body = "$unknown"
	_, err := twoway.New().Encode(c)
	require.Equal(t, fault.Config, fault.Of(err).Kind)
}

func TestTwoWay_BadMessages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                       "/data/message: it must be an object with a type",
		``:                         "/data/message: it must be an object with a type",
		`{"text":"x"}`:             "/data/message/type: it must be a string",
		`{"type":7}`:               "/data/message/type: it must be a string",
		`{"type":"text"}`:          "/data/message/text: a message of the type text needs its text",
		`{"type":"text","text":7}`: "/data/message/text: a message of the type text needs its text",
	} {
		c := full()
		c.Event.Data.Message = json.RawMessage(text)
		_, err := twoway.New().Encode(c)
		require.Equal(t, fault.BadEvent, fault.Of(err).Kind, text)
		require.True(t, strings.HasSuffix(err.Error(), want), "%s: %s", text, err)
	}
}

// TestEncode_SessionOfARound: each round of a conversation is a session, whose id all its requests share.
func TestEncode_SessionOfARound(t *testing.T) {
	t.Parallel()
	session := func(round, event string, number int64) string {
		c := full()
		c.Round, c.Event.ID, c.ConversationNo = round, event, number
		r, err := twoway.New().Encode(c)
		require.NoError(t, err)
		var body struct {
			Chat struct {
				SessionID string `json:"sessionId"`
			} `json:"chat"`
		}
		require.NoError(t, json.Unmarshal(r.Body, &body))
		require.NotEmpty(t, body.Chat.SessionID)
		return body.Chat.SessionID
	}
	require.Equal(t, session("e1", "e1", 0), session("e1", "e2", 0))
	require.Equal(t, session("e1", "e1", 0), session("e1", "e2", 3), "its number comes later")
	require.NotEqual(t, session("e1", "e1", 0), session("e3", "e3", 0))
	require.NotEqual(t, session("", "e1", 0), session("e1", "e1", 0))
	require.NotEqual(t, session("", "e1", 0), session("", "e1", 3), "of a run without rounds")
}

// TestEncode_RepeatedMessage: a receiver recognises a message that it has by the id, also when an operator repeats it.
func TestEncode_RepeatedMessage(t *testing.T) {
	t.Parallel()
	c := full()
	c.Event.Data.Message = json.RawMessage(`{"type":"text","text":"hi"}`)
	first, err := twoway.New().Encode(c)
	require.NoError(t, err)
	c.Event = c.Event.Repeat(2)
	again, err := twoway.New().Encode(c)
	require.NoError(t, err)
	require.JSONEq(t, string(first.Body), string(again.Body))
}

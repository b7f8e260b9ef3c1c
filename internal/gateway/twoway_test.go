package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

const (
	outbound = "/conversational/twoway/v2/accounts/acc-1/adapters/agents"
	goodSent = `{"chat":{"id":"made-up","accountId":"acc-1","channel":"CXWebConversations","conversationClientId":"u-1",` +
		`"conversationHostId":"shop","conversationClientName":"Ann"},` +
		`"conversationMessages":[{"$type":"text","id":"m1","direction":"ClientTerminated","text":"hello"}]}`
)

func (d *testGateway) sent(path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("x-cm-producttoken", token)
	}
	return d.do(r)
}

func TestTwoWay_MessageOfAnAdaptersOwner(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	chat := twoway.ChatID("u-1", "shop", "CXWebConversations")
	d.Chats = chats{chat: "c 42"}
	for _, token := range []string{"new-token", "old-token"} { // both are valid while they are rotated
		w := d.sent(outbound, token, goodSent)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		var answer struct {
			Chat    twoway.Chat
			Message string
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		require.Equal(t, "Message(s) accepted", answer.Message)
		require.Equal(t, []string{chat, "CXWebConversations", "u-1"},
			[]string{answer.Chat.ID, answer.Chat.Channel, answer.Chat.ClientID})
	}
	require.Len(t, d.bus.replies, 2)
	first, again := d.bus.replies[0], d.bus.replies[1]
	require.Equal(t, first.ID, again.ID, "NATS stores the same message once")
	require.Equal(t, schemas.TypeMessageSent, first.Type)
	require.Equal(t, "c 42", first.Subject)
	require.JSONEq(t, `{"adapter":"agents","message_id":"m1","messages":[{"type":"text","text":"hello"}]}`, string(first.Data))
}

// TestTwoWay_PostedAgainInAnotherConversation: the conversation of a chat can change before a message is posted again. It is
// the same message, and the same text of another chat, adapter or id is another one.
func TestTwoWay_PostedAgainInAnotherConversation(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	chat := twoway.ChatID("u-1", "shop", "CXWebConversations")
	post := func(body string) schemas.Reply {
		w := d.sent(outbound, "new-token", body)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		return d.bus.replies[len(d.bus.replies)-1]
	}
	d.Chats = chats{chat: "first"}
	first := post(goodSent)
	d.Chats = chats{chat: "second"}
	again := post(goodSent)
	require.Equal(t, []string{"first", "second"}, []string{first.Subject, again.Subject})
	require.Equal(t, first.ID, again.ID, "NATS stores the same message once")
	require.NotEqual(t, first.ID, post(strings.Replace(goodSent, `"m1"`, `"m2"`, 1)).ID)
	require.NotEqual(t, first.ID, post(strings.Replace(goodSent, `"u-1"`, `"u-2"`, 1)).ID)
}

func TestTwoWay_MessagesBeyondText(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	w := d.sent(outbound, "new-token", strings.Replace(goodSent, `]}`,
		`,{"$type":"media","direction":"ClientTerminated","url":"https://x.example/a.png"}]}`, 1))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Len(t, d.bus.replies, 2)
	require.Equal(t, "u-1", d.bus.replies[1].Subject, "a chat without messages maps to its client's conversation")
	require.JSONEq(t, `{"adapter":"agents","messages":[{"type":"custom","payload":
		{"$type":"media","direction":"ClientTerminated","url":"https://x.example/a.png"}}]}`, string(d.bus.replies[1].Data))
}

func TestTwoWay_WhyAMessageIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, by string // an edit of the good body
		pointer string
	}{
		"no chat":           {`"chat"`, `"Chat"`, "/chat"},
		"chat no object":    {`"chat":{`, `"chat":7,"x":{`, "/chat"},
		"no chat id":        {`"id":"made-up",`, ``, "/chat/id"},
		"no account":        {`"accountId":"acc-1",`, ``, "/chat/accountId"},
		"other account":     {`"acc-1"`, `"acc-2"`, "/chat/accountId"},
		"no channel":        {`"channel":"CXWebConversations",`, ``, "/chat/channel"},
		"unknown channel":   {`CXWebConversations`, `Custom`, "/chat/channel"},
		"no client":         {`"conversationClientId":"u-1",`, ``, "/chat/conversationClientId"},
		"client null":       {`"u-1"`, `null`, "/chat/conversationClientId"},
		"client empty":      {`"u-1"`, `""`, "/chat/conversationClientId"},
		"no host":           {`"conversationHostId":"shop",`, ``, "/chat/conversationHostId"},
		"name no text":      {`"Ann"`, `7`, "/chat/conversationClientName"},
		"no messages":       {`conversationMessages`, `ConversationMessages`, "/conversationMessages"},
		"messages no array": {`[{"$type":"text","id":"m1","direction":"ClientTerminated","text":"hello"}]`, `{}`, "/conversationMessages"},
		"message no object": {`[{"$type":"text",`, `[7,{"$type":"text",`, "/conversationMessages/0"},
		"no type":           {`"$type":"text",`, ``, "/conversationMessages/0/$type"},
		"capital type":      {`"$type":"text"`, `"$type":"Text"`, "/conversationMessages/0/$type"},
		"no direction":      {`"direction":"ClientTerminated",`, ``, "/conversationMessages/0/direction"},
		"wrong direction":   {`ClientTerminated`, `Inbound`, "/conversationMessages/0/direction"},
		"from the client":   {`ClientTerminated`, `ClientOriginated`, "/conversationMessages/0/direction"},
		"no text":           {`,"text":"hello"`, ``, "/conversationMessages/0/text"},
		"text no text":      {`"hello"`, `{}`, "/conversationMessages/0/text"},
		"NUL in client id":  {`"u-1"`, `"u\u0000"`, "/chat/conversationClientId"},
		"half a pair in id": {`"m1"`, `"m\ud83d"`, "/conversationMessages/0/id"},
		"id no text":        {`"m1"`, `1`, "/conversationMessages/0/id"},
		"long id":           {`"m1"`, `"` + strings.Repeat("m", 257) + `"`, "/conversationMessages/0/id"},
		"events":            {`"conversationMessages"`, `"conversationEvents":[{}],"conversationMessages"`, "/conversationEvents"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			body := strings.Replace(goodSent, c.old, c.by, 1)
			require.NotEqual(t, goodSent, body)
			p := requireProblem(t, d.sent(outbound, "new-token", body), 400, fault.BadEvent, c.pointer)
			require.Equal(t, c.pointer, p.Pointer)
			require.Empty(t, d.bus.replies)
		})
	}
	many := strings.Replace(goodSent, `[{`, `[`+strings.Repeat(`{},`, 100)+`{`, 1)
	requireProblem(t, newTestGateway(t).sent(outbound, "new-token", many), 400, fault.BadEvent, "at most 100")
	for _, text := range []string{"", "null", "[]", `"x"`, "{", strings.Repeat("[", 20_000), "{\"a\":\"\xff\"}"} {
		requireProblem(t, newTestGateway(t).sent(outbound, "new-token", text), 400, fault.BadEvent, "")
	}
}

func TestTwoWay_ProductTokens(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	for path, token := range map[string]string{
		outbound:       "wrong",
		outbound + "x": "new-token",
		"/conversational/twoway/v2/accounts/acc-2/adapters/agents": "new-token",
		"/conversational/twoway/v2/accounts/acc-1/adapters/closed": "",
	} {
		w := d.sent(path, token, goodSent)
		requireProblem(t, w, 401, "", "X-Cm-Producttoken")
		require.Empty(t, w.Header().Get("WWW-Authenticate"))
	}
	requireProblem(t, d.sent(outbound, "", goodSent), 401, "", "X-Cm-Producttoken")
	w := d.do(httptest.NewRequest(http.MethodGet, outbound, nil))
	requireProblem(t, w, 405, "", "use POST")
	d.bus.err = fmt.Errorf("away: %w", nats.ErrNoResponders)
	requireProblem(t, d.sent(outbound, "new-token", goodSent), 503, fault.Internal, "try again")
}

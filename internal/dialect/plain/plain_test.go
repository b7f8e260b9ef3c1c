package plain_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/dialecttest"
	"github.com/hookturn/hookturn/internal/dialect/plain"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/jq"
	"github.com/hookturn/hookturn/schemas"
)

func newDialect(t *testing.T) plain.Dialect {
	t.Helper()
	pool := jq.NewPool(1)
	pool.Wait, pool.Longest = time.Minute, time.Minute
	t.Cleanup(pool.Close)
	return plain.New(pool)
}

func full() dialect.Context {
	return dialect.Context{
		Plan: bot.Plan{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "ORDER", Env: map[string]string{"API": "x"}, Webhook: &bot.Webhook{}},
		Event: schemas.Event{
			SpecVersion: "1.0", ID: "e1", Source: "/engine", Type: schemas.TypeStepRequested, Subject: "c-42",
			Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Data: schemas.EventData{Step: "ORDER"},
		},
		User: schemas.User{ID: "91", Language: "hi"}, ConversationNo: 3,
		Entities:  map[string][]schemas.Entity{"order": {{Detection: "message", EntityValue: json.RawMessage(`{"n":1.50}`)}}},
		Variables: map[string]string{"city": "<Bremen>"},
	}
}

const good = `{"messages":["a",{"type":"hsl","hsl":{"type":"BUTTON"}},{"type":"custom","payload":[1]}],` +
	`"variables":{"a":"1","n":2,"gone":null},"conversation":"complete","success":false}`

func TestPlain_Conformance(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, plain.New(nil), dialecttest.Fixtures{
		Context: full(), Good: []byte(good), TakesEmpty: true, ContentType: "application/cloudevents+json",
	})
	mapped := full()
	mapped.Plan.Webhook.Request, mapped.Plan.Webhook.Response = "{id: .event.id, city: .variables.city, e: .entities}", "."
	dialecttest.Run(t, newDialect(t), dialecttest.Fixtures{Context: mapped, Good: []byte(good), TakesEmpty: true})
}

func TestPlain_RequestIsTheEventWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	r, err := plain.New(nil).Encode(full())
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"e1","source":"/engine","type":"hookturn.step.requested",`+
		`"time":"2026-11-20T12:00:00Z","subject":"c-42","data":{"step":"ORDER","user":{"id":"91","language":"hi"},`+
		`"conversation_no":3,"entities":{"order":[{"detection":"message","original_text":"","entity_value":{"n":1.50}}]},`+
		`"variables":{"city":"<Bremen>"}}}`, string(r.Body))
}

func TestPlain_RequestProgram(t *testing.T) {
	t.Parallel()
	c := full()
	c.Plan.Webhook.Request = `{order: .entities.order[0].entity_value, who: .user.id, no: .conversation_no, step, bot, tenant,
		city: .variables.city, api: .env.API, id: .event.id}`
	r, err := newDialect(t).Encode(c)
	require.NoError(t, err)
	require.Equal(t, `{"api":"x","bot":"shop","city":"<Bremen>","id":"e1","no":3,"order":{"n":1.50},"step":"ORDER",`+
		`"tenant":"default","who":"91"}`, string(r.Body))

	c.Plan.Webhook.Request = `.entities.order[0].detection.x`
	_, err = newDialect(t).Encode(c)
	require.Equal(t, fault.Config, fault.Of(err).Kind)
	require.EqualError(t, err, "config: webhook.request of step ORDER: the program failed on this input")
}

func TestPlain_Answers(t *testing.T) {
	t.Parallel()
	d := newDialect(t)
	got, err := d.Decode(full(), []byte(good))
	require.NoError(t, err)
	one, two := "1", "2"
	require.Equal(t, dialect.Answer{
		Messages: []schemas.Message{
			schemas.Text("a"), schemas.HSL(json.RawMessage(`{"type":"BUTTON"}`)), schemas.Custom(json.RawMessage(`[1]`)),
		},
		Variables: map[string]*string{"a": &one, "n": &two, "gone": nil}, Conversation: "complete",
	}, got)

	mapped := full()
	mapped.Plan.Webhook.Response = `{messages: [.items[].name], conversation: (if .last then "complete" else null end)}`
	got, err = d.Decode(mapped, []byte(`{"items":[{"name":"x"},{"name":"y"}],"last":true}`))
	require.NoError(t, err)
	require.Equal(t, dialect.Answer{
		Success: true, Messages: []schemas.Message{schemas.Text("x"), schemas.Text("y")}, Conversation: "complete",
	}, got)
}

func TestPlain_BadAnswersSayWhere(t *testing.T) {
	t.Parallel()
	const none = "the answer has none of the members messages, variables, conversation, success"
	for body, want := range map[string]string{
		`{"messages":"x"}`:                        "messages is of the type string: it must be an array",
		`{"messages":["a",7]}`:                    "messages[1] is of the type number: it must be a string or a message object",
		`{"messages":[{"text":"a"}]}`:             "messages[0].type must be text, hsl or custom",
		`{"messages":[{"type":"video"}]}`:         "messages[0].type must be text, hsl or custom",
		`{"messages":[{"type":"text","text":7}]}`: "messages[0].text is of the type number: it must be a string",
		`{"messages":[{"type":"hsl","hsl":"x"}]}`: "messages[0].hsl is of the type string: it must be an object",
		`{"variables":["a"]}`:                     "variables is of the type array: it must be an object",
		`{"conversation":"over"}`:                 "conversation is not a valid state: expected open, complete or handover",
		`{"conversation":1}`:                      "conversation is of the type number: it must be a string",
		`{"success":"yes"}`:                       "success is of the type string: it must be true or false",
		`{"message":"canary"}`:                    none + ": is one of its members meant to be messages?",
		`{"Messages":["canary"]}`:                 none + ": is one of its members meant to be messages?",
		`{"ok":true,"convrsation":"open"}`:        none + ": is one of its members meant to be conversation?",
		`{"succes":true}`:                         none + ": is one of its members meant to be success?",
		`{"variable":{}}`:                         none + ": is one of its members meant to be variables?",
		`{"ok":true}`:                             none,
		`{"canary-canary-canary-canary":1}`:       none,
	} {
		_, err := plain.New(nil).Decode(full(), []byte(body))
		require.EqualError(t, err, "bad_response: "+want, body)
	}
	mapped := full()
	mapped.Plan.Webhook.Response = ".a.b"
	_, err := newDialect(t).Decode(mapped, []byte(`{"a":["canary"]}`))
	require.EqualError(t, err, "bad_response: webhook.response of step ORDER: the program failed on this input")
}

// TestDecode_OneKnownMember checks that an empty answer and any answer with a known member are accepted.
func TestDecode_OneKnownMember(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{}`, `{"messages":null}`, `{"ok":true,"messages":[]}`, `{"success":true}`} {
		answer, err := plain.New(nil).Decode(full(), []byte(body))
		require.NoError(t, err, body)
		require.Equal(t, dialect.Answer{Success: true}, answer, body)
	}
}

// TestEncode_Extensions sends on the extension attributes of the event, to a request program as well.
func TestEncode_Extensions(t *testing.T) {
	t.Parallel()
	c := full()
	c.Event.Extensions = map[string]json.RawMessage{"partitionkey": json.RawMessage(`"p"`), "sampledrate": json.RawMessage(`5`)}
	r, err := newDialect(t).Encode(c)
	require.NoError(t, err)
	event, err := schemas.DecodeEvent(r.Body)
	require.NoError(t, err)
	require.Equal(t, c.Event.Extensions, event.Extensions)

	c.Plan.Webhook.Request = `.event.partitionkey`
	r, err = newDialect(t).Encode(c)
	require.NoError(t, err)
	require.Equal(t, `"p"`, string(r.Body))
}

// TestEncode_RepeatedStep: the event that an operator repeats has the id of the first, as webhook-id has.
func TestEncode_RepeatedStep(t *testing.T) {
	t.Parallel()
	c := full()
	asked := c.Event.ID
	c.Event = c.Event.Repeat(1)
	r, err := newDialect(t).Encode(c)
	require.NoError(t, err)
	var body struct{ ID string }
	require.NoError(t, json.Unmarshal(r.Body, &body))
	require.Equal(t, asked, body.ID)
}

func TestDeferred(t *testing.T) {
	t.Parallel()
	d := plain.New(nil)
	for _, body := range []string{"", " \n", "{}", `{"ok":true}`, `{"messages":["a"]}`, "accepted", "\xff"} {
		require.True(t, d.Deferred(202, []byte(body), true), body)
		require.False(t, d.Deferred(200, []byte(body), true), body)
		require.False(t, d.Deferred(204, []byte(body), true), body)
	}
	require.True(t, d.Deferred(202, []byte("\uFEFF \n"), false))
	require.False(t, d.Deferred(202, []byte(`{"messages":["a"]}`), false), "an answer, for no callback was offered")
}

// busyPrograms have no process for a program.
type busyPrograms struct{}

func (busyPrograms) Run(string, string, []byte) ([]byte, error) {
	return nil, fmt.Errorf("pool: %w", jq.ErrBusy)
}

// TestPlain_BusyPrograms: that no process is free is neither the bot file's fault nor the endpoint's.
func TestPlain_BusyPrograms(t *testing.T) {
	t.Parallel()
	c := full()
	c.Plan.Webhook.Request, c.Plan.Webhook.Response = ".", "."
	_, err := plain.New(busyPrograms{}).Encode(c)
	require.Equal(t, fault.RateLimited, fault.Of(err).Kind)
	require.True(t, fault.Of(err).Retryable())

	answer, err := plain.New(busyPrograms{}).Decode(c, []byte(`{"canary":1}`))
	require.Zero(t, answer)
	require.Equal(t, fault.Internal, fault.Of(err).Kind)
	require.True(t, fault.Of(err).Passing, "the same answer can be read later")
	require.NotContains(t, err.Error(), "canary")
}

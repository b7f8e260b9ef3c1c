// Package twoway speaks the envelope of CM.com's TwoWay adapters (contract, section 4.3), in which hookturn is the router:
// messages of the client and events of the session go to an adapter's endpoints, and so does the notification that a
// conversation was handed over to it.
package twoway

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Dialect is the router's side of TwoWay.
type Dialect struct{}

var _ dialect.Dialect = Dialect{}

// New returns the dialect.
func New() Dialect { return Dialect{} }

// Spec is what bot files know of the dialect.
func (Dialect) Spec() bot.Spec {
	return bot.Spec{
		Name: bot.DialectTwoWay, PartOf: "adapter", Timeout: time.Minute, AttemptTimeout: 10 * time.Second, MaxAttempts: 4,
		OnFailure: bot.OnFailureUndelivered, Channels: Channels(),
	}
}

// GoodStatus takes every 2xx: older adapters answer 201, newer ones 200.
func (Dialect) GoodStatus(status int) bool { return status/100 == 2 }

// MergeUserDetails keeps the store as it is: the dialect knows none.
func (Dialect) MergeUserDetails(old, _ json.RawMessage) (json.RawMessage, error) { return old, nil }

// IgnoresBody marks a dialect whose answer is the status.
func (Dialect) IgnoresBody() {}

// Decode takes no notice of the body: a reply of the adapter's owner comes through the gateway.
func (Dialect) Decode(dialect.Context, []byte) (dialect.Answer, error) {
	return dialect.Answer{Success: true}, nil
}

// envelope is what travels in both directions.
type envelope struct {
	Chat     Chat             `json:"chat"`
	Messages []map[string]any `json:"conversationMessages,omitempty"`
	Events   []map[string]any `json:"conversationEvents,omitempty"`
	Targets  []target         `json:"targetAdaptersInfo"`
}

// target names the adapter that the envelope is meant for. The vendor's own members are not documented.
type target struct {
	AdapterID string `json:"adapterId"`
	IsBot     bool   `json:"isBot"`
}

// direction is how a message of the client is marked.
const direction = "ClientOriginated"

// Encode makes the request for an event: an envelope with one message or one event, or the adapter's own notification. The
// error is a *fault.Fault.
func (Dialect) Encode(c dialect.Context) (dialect.Request, error) {
	chat, err := chatOf(c)
	if err != nil {
		return dialect.Request{}, err
	}
	if c.Event.Type == schemas.TypeConversationHandover {
		return notification(c, chat)
	}
	e := envelope{Chat: chat, Targets: []target{{AdapterID: c.Plan.Adapter.Name, IsBot: c.Plan.Adapter.IsBot}}}
	if c.Event.Type == schemas.TypeConversationEvent {
		item, err := itemOf(c.Event, c.Event.Data.Event, "/data/event")
		if err != nil {
			return dialect.Request{}, err
		}
		e.Events = []map[string]any{item}
		return written(c, e)
	}
	item, err := itemOf(c.Event, c.Event.Data.Message, "/data/message")
	if err != nil {
		return dialect.Request{}, err
	}
	if _, isText := item["text"].(string); item["$type"] == "text" && !isText {
		return dialect.Request{}, fault.New(fault.BadEvent, "/data/message/text: a message of the type text needs its text")
	}
	item["direction"] = direction
	e.Messages = []map[string]any{item}
	return written(c, e)
}

// itemOf is a message or an event of the engine in the router's spelling: type becomes $type, and id and createdOn are set.
// Every other member passes as it is.
func itemOf(e schemas.Event, value json.RawMessage, place string) (map[string]any, error) {
	decoded, err := strictjson.Decode(value)
	item, isObject := decoded.(map[string]any)
	if err != nil || !isObject {
		return nil, fault.New(fault.BadEvent, "%s: it must be an object with a type", place)
	}
	kind, isText := item["type"].(string)
	if !isText || kind == "" {
		return nil, fault.New(fault.BadEvent, "%s/type: it must be a string", place)
	}
	delete(item, "type")
	item["$type"] = kind
	if id, isText := item["id"].(string); !isText || id == "" {
		item["id"] = e.AskedID() // the same for a repetition: by it a receiver recognises a message that it has
	}
	item["createdOn"] = e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return item, nil
}

// notification is the adapter's template with the values of the chat.
func notification(c dialect.Context, chat Chat) (dialect.Request, error) {
	text := c.Plan.Adapter.Body
	if text == "" {
		text = bot.DefaultTemplate
	}
	template, err := bot.ParseTemplate(text)
	if err != nil {
		return dialect.Request{}, fault.Wrap(fault.Config, err, "handover_endpoint.body of adapter %s: %v",
			c.Plan.Adapter.Name, err)
	}
	body := template.Expand(map[string]string{
		"chatId": chat.ID, "sessionId": chat.SessionID, "accountId": chat.AccountID, "channel": chat.Channel,
		"conversationHostId": chat.HostID, "conversationClientId": chat.ClientID,
	}, c.Event.Data.Context)
	return dialect.Request{Body: []byte(body), Header: jsonHeader(), Chat: chat.ID}, nil
}

func written(c dialect.Context, e envelope) (dialect.Request, error) {
	text, err := strictjson.Encode(e)
	if err != nil { // the encoder's own error may quote a value
		return dialect.Request{}, fault.New(fault.BadEvent, "the event for adapter %s cannot be written as JSON",
			c.Plan.Adapter.Name)
	}
	return dialect.Request{Body: text, Header: jsonHeader(), Chat: e.Chat.ID}, nil
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

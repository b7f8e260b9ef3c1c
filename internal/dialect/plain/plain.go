// Package plain is hookturn's own dialect (contract, section 4.5): a CloudEvents event goes to the endpoint, signed as
// Standard Webhooks defines, and messages, variables and the state of the conversation come back. A bot file may put a jq
// program before either, so that an endpoint that speaks some JSON of its own needs no adapter in between.
package plain

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Programs runs jq programs. *jq.Pool is one.
type Programs interface {
	// Run returns the one result of a tenant's program for an input, both JSON. Its error does not hold any part of the input.
	// An error with a method Busy that returns true is not the program's: a later run can succeed.
	Run(tenant, program string, input []byte) ([]byte, error)
}

// Dialect is the plain dialect.
type Dialect struct{ programs Programs }

var (
	_ dialect.Dialect  = Dialect{}
	_ dialect.Deferrer = Dialect{}
)

// New returns the dialect. Programs may be nil where no bot file has one.
func New(programs Programs) Dialect { return Dialect{programs: programs} }

// callbackTimeoutMax is long, because an endpoint can answer "I will call back".
const callbackTimeoutMax = 30 * 24 * time.Hour

// Spec is what bot files know of the dialect.
func (Dialect) Spec() bot.Spec {
	return bot.Spec{
		Name: bot.DialectPlain, Timeout: 30 * time.Second, AttemptTimeout: 15 * time.Second, MaxAttempts: 3,
		OnFailure: bot.OnFailureBotBreak, Signature: []string{bot.SignatureStandard},
		TimeoutMax: callbackTimeoutMax, Keys: []string{"request", "response"},
	}
}

// GoodStatus takes every 2xx.
func (Dialect) GoodStatus(status int) bool { return status/100 == 2 }

// Deferred is a 202: "I will call back". When a callback was offered, its body does not matter: many frameworks do not send
// a 202 without one. When none was, an endpoint that answers something may mean it.
func (Dialect) Deferred(status int, body []byte, offered bool) bool {
	return status == http.StatusAccepted && (offered || len(bytes.TrimSpace(strictjson.WithoutBOM(body))) == 0)
}

// MergeUserDetails keeps the store as it is: the dialect knows none.
func (Dialect) MergeUserDetails(old, _ json.RawMessage) (json.RawMessage, error) { return old, nil }

// stepContext is what a request program gets.
type stepContext struct {
	schemas.BotID

	Step           string                      `json:"step"`
	Event          schemas.Event               `json:"event"`
	User           schemas.User                `json:"user"`
	ConversationNo int64                       `json:"conversation_no"`
	Entities       map[string][]schemas.Entity `json:"entities"`
	Variables      map[string]string           `json:"variables"`
	Env            map[string]string           `json:"env"`
}

// Encode makes the request of a step: the event, with all that the conversation knows by now in its data, or what the step's
// request program makes of that. The error is a *fault.Fault.
func (d Dialect) Encode(c dialect.Context) (dialect.Request, error) {
	event := eventOf(c)
	if c.Plan.Webhook.Request == "" {
		text, err := strictjson.Encode(event)
		if err != nil { // the encoder's own error may quote a value
			return dialect.Request{}, fault.New(fault.BadEvent, "the request of step %q cannot be written as JSON", c.Plan.Step)
		}
		return dialect.Request{Body: text, Header: contentType("application/cloudevents+json")}, nil
	}
	text, err := strictjson.Encode(stepContext{
		BotID: c.Plan.BotID, Step: c.Plan.Step, Event: event, User: c.User, ConversationNo: c.ConversationNo,
		Entities: orEmpty(c.Entities), Variables: orEmpty(c.Variables), Env: orEmpty(c.Plan.Env),
	})
	if err != nil {
		return dialect.Request{}, fault.New(fault.BadEvent, "the context of step %q cannot be written as JSON", c.Plan.Step)
	}
	body, err := d.programs.Run(c.Plan.Tenant, c.Plan.Webhook.Request, text)
	switch {
	case isBusy(err): // nothing was sent: another attempt may find a process
		return dialect.Request{}, fault.Wrap(fault.RateLimited, err, "webhook.request of step %s: %v", c.Plan.Step, err)
	case err != nil:
		return dialect.Request{}, fault.Wrap(fault.Config, err, "webhook.request of step %s: %v", c.Plan.Step, err)
	}
	return dialect.Request{Body: body, Header: contentType("application/json")}, nil
}

// eventOf is the event as the endpoint gets it: entities and variables are those of the conversation, the id is that of the
// header webhook-id, also when an operator repeats the step.
func eventOf(c dialect.Context) schemas.Event {
	e := c.Event
	e.ID = e.AskedID()
	e.Data.Entities, e.Data.Variables, e.Data.ConversationNo = c.Entities, c.Variables, c.ConversationNo
	if c.User != (schemas.User{}) {
		user := c.User
		e.Data.User = &user
	}
	return e
}

func contentType(value string) http.Header { return http.Header{"Content-Type": {value}} }

func orEmpty[M ~map[string]V, V any](m M) M {
	if m == nil {
		return M{}
	}
	return m
}

// Package loyjoy speaks the JSON of LoyJoy's web-service module (contract, section 4.2): variables go to the endpoint as
// strings, and what it answers, if anything, sets variables of the conversation.
package loyjoy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Dialect is LoyJoy's web-service module.
type Dialect struct{}

var _ dialect.Dialect = Dialect{}

// New returns the dialect.
func New() Dialect { return Dialect{} }

// Spec is what bot files know of the dialect.
func (Dialect) Spec() bot.Spec {
	return bot.Spec{
		Name: "loyjoy", Timeout: 20 * time.Second, AttemptTimeout: 20 * time.Second, MaxAttempts: 1,
		OnFailure: bot.OnFailureContinue, Keys: []string{"params"},
	}
}

// GoodStatus takes every 2xx: the vendor lists no good codes and treats errors as such.
func (Dialect) GoodStatus(status int) bool { return status/100 == 2 }

// MergeUserDetails keeps the store as it is: the dialect knows none.
func (Dialect) MergeUserDetails(old, _ json.RawMessage) (json.RawMessage, error) { return old, nil }

// body is the request in the order of the vendor's page; every member is always there.
type body struct {
	ProcessDefinitionID string                     `json:"process_definition_id"`
	ProcessInstanceID   string                     `json:"process_instance_id"`
	Params              map[string]json.RawMessage `json:"params"`
	Variables           map[string]string          `json:"variables"`
}

// namespace is the UUIDv5 namespace of process ids.
var namespace = uuid.MustParse("7b0c5d2e-3f0a-5f0e-9c8e-0d1f7b6a4c21")

// processID is a UUID, as the vendor's samples have it: of a bot, or of one conversation with it. Names are joined by a byte
// that none of them holds, so that no two lists make the same id.
func processID(names ...string) string {
	var joined []byte
	for _, name := range names {
		joined = append(append(joined, name...), 0)
	}
	return uuid.NewSHA1(namespace, joined).String()
}

// instanceID is of one round of a conversation, from its first event to its last; the next round has another, as when the
// vendor's process starts again. A round that is not known is the whole conversation.
func instanceID(c dialect.Context) string {
	names := []string{c.Plan.Tenant, c.Plan.Bot, c.Event.Subject}
	if c.Round != "" {
		names = append(names, c.Round)
	}
	return processID(names...)
}

// Encode makes the request of a step. X-B3-TraceId is the trace id that the log lines of the step have as well. The error is
// a *fault.Fault.
func (Dialect) Encode(c dialect.Context) (dialect.Request, error) {
	b := body{
		ProcessDefinitionID: processID(c.Plan.Tenant, c.Plan.Bot),
		ProcessInstanceID:   instanceID(c),
		Params:              params(c),
		Variables:           c.Variables,
	}
	if b.Variables == nil {
		b.Variables = map[string]string{}
	}
	// The encoder's own error may quote a value, so it is not kept.
	text, err := strictjson.Encode(b)
	if err != nil {
		return dialect.Request{}, fault.New(fault.BadEvent,
			"the request of step %q cannot be written: a param is not well-formed JSON", c.Plan.Step)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	header.Set("X-B3-TraceId", c.Event.TraceID(c.Plan.BotID))
	return dialect.Request{Body: text, Header: header}, nil
}

// Decode reads the answer of an endpoint, which may be nothing at all. Members of data.variables are set in the
// conversation: strings as they are, other values as their JSON text; null deletes.
func (Dialect) Decode(_ dialect.Context, text []byte) (dialect.Answer, error) {
	answer := dialect.Answer{Success: true}
	if len(bytes.TrimSpace(strictjson.WithoutBOM(text))) == 0 {
		return answer, nil
	}
	object, err := strictjson.ReadObject(text)
	if err != nil {
		return dialect.Answer{}, dialect.Unreadable(err)
	}
	variables, err := member(object.Lookup("data"), "data", "variables")
	if err != nil || variables == nil {
		return answerOr(answer, err)
	}
	answer.Variables, err = dialect.Variables(variables, "data.variables")
	return answerOr(answer, err)
}

// member is a member of a value that must be an object; nil when either is not there.
func member(value json.RawMessage, place, name string) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	if kind := strictjson.Kind(value); kind != "object" {
		return nil, fault.New(fault.BadResponse, "%s is of the type %s: it must be an object", place, kind)
	}
	object, err := strictjson.ReadObject(value)
	if err != nil {
		return nil, dialect.Unreadable(err)
	}
	return object.Lookup(name), nil
}

func answerOr(answer dialect.Answer, err error) (dialect.Answer, error) {
	if err != nil {
		return dialect.Answer{}, err
	}
	return answer, nil
}

package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Decode reads an answer, or what the step's response program makes of it: an object with messages, variables, conversation
// and success, all optional. Nothing at all is an answer without messages.
func (d Dialect) Decode(c dialect.Context, body []byte) (dialect.Answer, error) {
	if len(bytes.TrimSpace(strictjson.WithoutBOM(body))) == 0 {
		return dialect.Answer{Success: true}, nil
	}
	text, err := strictjson.Read(body)
	if err != nil {
		return dialect.Answer{}, dialect.Unreadable(err)
	}
	if program := c.Plan.Webhook.Response; program != "" {
		if text, err = d.programs.Run(c.Plan.Tenant, program, text); err != nil {
			return dialect.Answer{}, notMapped(c.Plan.Step, err)
		}
	}
	object, err := strictjson.ReadObject(text)
	if err != nil {
		return dialect.Answer{}, dialect.Unreadable(err)
	}
	if err := known(object); err != nil {
		return dialect.Answer{}, err
	}
	answer := dialect.Answer{Success: true}
	for _, read := range []func(strictjson.Object, *dialect.Answer) error{success, conversation, messages, variables} {
		if err := read(object, &answer); err != nil {
			return dialect.Answer{}, err
		}
	}
	return answer, nil
}

// notMapped returns the fault of a response program without a result. It is the endpoint's, unless no process was free for
// the program: then the answer can be read later.
func notMapped(step string, err error) *fault.Fault {
	if !isBusy(err) {
		return fault.Wrap(fault.BadResponse, err, "webhook.response of step %s: %v", step, err)
	}
	f := fault.Wrap(fault.Internal, err, "webhook.response of step %s: %v", step, err)
	f.Passing = true
	return f
}

// isBusy reports whether a program was not run, for want of a process, so that a later run can succeed.
func isBusy(err error) bool {
	var busy interface{ Busy() bool }
	return errors.As(err, &busy) && busy.Busy()
}

func success(object strictjson.Object, answer *dialect.Answer) error {
	value := object.Lookup("success")
	if value == nil {
		return nil
	}
	if kind := strictjson.Kind(value); kind != "boolean" {
		return wrongType("success", kind, "true or false")
	}
	answer.Success = string(value) == "true"
	return nil
}

func conversation(object strictjson.Object, answer *dialect.Answer) error {
	value := object.Lookup("conversation")
	if value == nil {
		return nil
	}
	var state string
	if kind := strictjson.Kind(value); kind != "string" || json.Unmarshal(value, &state) != nil {
		return wrongType("conversation", kind, "a string")
	}
	switch state {
	case schemas.ConversationOpen, schemas.ConversationComplete, schemas.ConversationHandover:
		answer.Conversation = state
		return nil
	}
	return fault.New(fault.BadResponse, "conversation is not a valid state: expected open, complete or handover")
}

func variables(object strictjson.Object, answer *dialect.Answer) (err error) {
	if value := object.Lookup("variables"); value != nil {
		answer.Variables, err = dialect.Variables(value, "variables")
	}
	return err
}

func messages(object strictjson.Object, answer *dialect.Answer) error {
	value := object.Lookup("messages")
	if value == nil {
		return nil
	}
	var list []json.RawMessage
	if kind := strictjson.Kind(value); kind != "array" || json.Unmarshal(value, &list) != nil {
		return wrongType("messages", kind, "an array")
	}
	for i, element := range list {
		message, err := messageOf(element, fmt.Sprintf("messages[%d]", i))
		if err != nil {
			return err
		}
		answer.Messages = append(answer.Messages, message)
	}
	return nil
}

// messageOf reads one message as a reply would show it; a bare string is a text.
func messageOf(element json.RawMessage, place string) (schemas.Message, error) {
	var text string
	switch kind := strictjson.Kind(element); kind {
	case "string":
		if json.Unmarshal(element, &text) != nil {
			return schemas.Message{}, wrongType(place, kind, "a text")
		}
		return schemas.Text(text), nil
	case "object":
	default:
		return schemas.Message{}, wrongType(place, kind, "a string or a message object")
	}
	object, err := strictjson.ReadObject(element)
	if err != nil {
		return schemas.Message{}, dialect.Unreadable(err)
	}
	var kind string
	if json.Unmarshal(object.Lookup("type"), &kind) != nil {
		return schemas.Message{}, fault.New(fault.BadResponse, "%s.type must be text, hsl or custom", place)
	}
	switch kind {
	case schemas.MessageText:
		if json.Unmarshal(object.Lookup("text"), &text) != nil {
			return schemas.Message{}, wrongType(place+".text", strictjson.Kind(object.Lookup("text")), "a string")
		}
		return schemas.Text(text), nil
	case schemas.MessageHSL:
		if kind := strictjson.Kind(object.Lookup("hsl")); kind != "object" {
			return schemas.Message{}, wrongType(place+".hsl", kind, "an object")
		}
		return schemas.HSL(object.Lookup("hsl")), nil
	case schemas.MessageCustom:
		payload := object.Lookup("payload")
		if payload == nil {
			payload = json.RawMessage("null")
		}
		return schemas.Custom(payload), nil
	}
	return schemas.Message{}, fault.New(fault.BadResponse, "%s.type must be text, hsl or custom", place)
}

func wrongType(place, found, want string) error {
	return fault.New(fault.BadResponse, "%s is of the type %s: it must be %s", place, found, want)
}

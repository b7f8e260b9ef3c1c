package haptik

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Decode reads the answer of an endpoint. An answer without any message is bad_response, whatever else it holds: the
// vendor breaks the bot on it.
func (Dialect) Decode(c dialect.Context, body []byte) (dialect.Answer, error) {
	object, err := strictjson.ReadObject(body)
	if err != nil {
		return dialect.Answer{}, dialect.Unreadable(err)
	}
	answer, err := read(c, object, "response")
	if err != nil {
		return dialect.Answer{}, err
	}
	if len(answer.Messages) == 0 {
		return dialect.Answer{}, fault.New(fault.BadResponse,
			"the answer has no message: response must hold at least one text or HSL element")
	}
	return answer, nil
}

// DecodeCode reads the body that a code step returned. Its messages are those of response, message and hsl, in this
// order; none is fine, because the other members are the step's output. The error is a *fault.Fault of the kind
// script_bad_response.
func DecodeCode(c dialect.Context, body []byte) (dialect.Answer, error) {
	object, err := strictjson.ReadObject(body)
	if err != nil {
		return dialect.Answer{}, fault.Wrap(fault.ScriptBadResponse, err, "the returned body cannot be read: %v", err)
	}
	answer, err := read(c, object, "response", "message", "hsl")
	if err != nil {
		return dialect.Answer{}, fault.Wrap(fault.ScriptBadResponse, err, "%s", fault.Of(err).Message)
	}
	answer.Output = object.Text()
	return answer, nil
}

// read takes the members that static and code steps share; messageMembers name those that hold messages.
func read(c dialect.Context, object strictjson.Object, messageMembers ...string) (dialect.Answer, error) {
	var answer dialect.Answer
	var err error
	if answer.Success, err = status(object); err != nil {
		return dialect.Answer{}, err
	}
	if answer.Messages, err = messages(object, messageMembers); err != nil {
		return dialect.Answer{}, err
	}
	if err := updateStores(c, object, &answer); err != nil {
		return dialect.Answer{}, err
	}
	return answer, nil
}

// status is true unless the answer sets it to false, by a boolean or by the text of one: Python's str(False) is "False".
func status(object strictjson.Object) (bool, error) {
	value := object.Lookup("status")
	text := string(value)
	switch kind := strictjson.Kind(value); kind {
	case "nothing":
		return true, nil
	case "boolean":
	case "string":
		if json.Unmarshal(value, &text) != nil {
			return false, fault.New(fault.BadResponse, "status cannot be read: it must be true or false")
		}
	default:
		return false, fault.New(fault.BadResponse, "status is of the type %s: it must be true or false", kind)
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fault.New(fault.BadResponse, "status is a text of another meaning: it must be true or false")
}

// updateStores applies the two updates. One that is too large is dropped and noted in the answer's Problem; the other
// one and the messages stand. The user's store is kept outside of the conversation, so its merge here only tries the
// limit.
func updateStores(c dialect.Context, object strictjson.Object, answer *dialect.Answer) error {
	merged, conversationProblem, err := update(conversationDetails, c.ConversationDetails, object)
	if err != nil {
		return err
	}
	_, userProblem, err := update(userDetails, c.UserDetails, object)
	if err != nil {
		return err
	}
	answer.ConversationDetails = conversationDetails.Current(merged)
	if userProblem == nil {
		answer.UserDetailsUpdate = object.Lookup(userDetails.Name)
	}
	answer.Problem = both(conversationProblem, userProblem)
	return nil
}

// update merges the answer's update of a store, when there is one; problem reports that it was rejected for its size.
func update(store dialect.Store, old json.RawMessage, object strictjson.Object) (
	merged json.RawMessage, problem *fault.Fault, err error,
) {
	merged, err = store.Merge(old, object.Lookup(store.Name))
	if refused := fault.Of(err); refused != nil && refused.Kind == fault.TooLarge {
		return old, refused, nil
	}
	return merged, nil, err
}

// both makes one fault of two of the same kind, either of which may be missing.
func both(a, b *fault.Fault) *fault.Fault {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return fault.New(a.Kind, "%s; %s", a.Message, b.Message)
}

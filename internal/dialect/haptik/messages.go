package haptik

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hookturn/hookturn/internal/dialect/strictjson"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// messages reads the members of these names, in the order of the names. The result is never nil.
func messages(object strictjson.Object, names []string) ([]schemas.Message, error) {
	out := []schemas.Message{}
	for _, name := range names {
		elements, isList, err := elementsOf(object.Lookup(name))
		if err != nil {
			return nil, fault.New(fault.Internal, "the answer's %s cannot be split", name)
		}
		for i, element := range elements {
			message, ok := messageOf(element)
			if !ok {
				return nil, badElement(name, i, isList, element)
			}
			if !isBlank(message) {
				out = append(out, message)
			}
		}
	}
	return out, nil
}

// elementsOf makes a list of a member: an array is a list already, anything else is a list of one.
func elementsOf(member json.RawMessage) (elements []json.RawMessage, isList bool, err error) {
	switch {
	case member == nil:
		return nil, false, nil
	case strictjson.Kind(member) != "array":
		return []json.RawMessage{member}, false, nil
	}
	err = json.Unmarshal(member, &elements)
	return elements, true, err
}

// messageOf reads one element: an object is HSL, and so is a string that holds a JSON object with type and data; any
// other string is a text.
func messageOf(element json.RawMessage) (message schemas.Message, ok bool) {
	switch strictjson.Kind(element) {
	case "object":
		return schemas.HSL(element), true
	case "string":
		var text string
		if json.Unmarshal(element, &text) != nil {
			return schemas.Message{}, false
		}
		if hsl := hslIn(text); hsl != nil {
			return schemas.HSL(hsl), true
		}
		return schemas.Text(text), true
	}
	return schemas.Message{}, false
}

// hslIn is the HSL element that a string spells, nil when it spells none.
func hslIn(text string) json.RawMessage {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil
	}
	object, err := strictjson.ReadObject([]byte(text))
	if err != nil || object.Lookup("type") == nil || object.Lookup("data") == nil {
		return nil
	}
	return object.Text()
}

// isBlank says whether a message would show as an empty bubble.
func isBlank(m schemas.Message) bool {
	return m.HSL == nil && strings.TrimSpace(m.Text) == ""
}

func badElement(name string, i int, isList bool, element json.RawMessage) *fault.Fault {
	place := name
	if isList {
		place = fmt.Sprintf("%s[%d]", name, i)
	}
	return fault.New(fault.BadResponse, "%s is of the type %s: it must be a text or an HSL object", place,
		strictjson.Kind(element))
}

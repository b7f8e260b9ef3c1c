package haptik

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// messages reads the members of these names, in the order of the names. Elements that are null or blank are left out. The
// result is never nil.
func messages(object strictjson.Object, names []string) ([]schemas.Message, error) {
	out := []schemas.Message{}
	for _, name := range names {
		elements, isList, err := elementsOf(object.Lookup(name))
		if err != nil {
			return nil, fault.New(fault.Internal, "the answer's %s cannot be split", name)
		}
		for i, element := range elements {
			place := name
			if isList {
				place = fmt.Sprintf("%s[%d]", name, i)
			}
			message, err := messageOf(element, place)
			if err != nil {
				return nil, err
			}
			if !isBlank(message) {
				out = append(out, message)
			}
		}
	}
	return out, nil
}

// elementsOf returns the elements of a member that is an array, and any other member as a list of one.
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

// messageOf reads one element: an object with a type is HSL, and so is a string that holds one; any other string, a number
// and a boolean are a text.
func messageOf(element json.RawMessage, place string) (schemas.Message, error) {
	kind := strictjson.Kind(element)
	switch kind {
	case "null":
		return schemas.Message{}, nil
	case "number", "boolean":
		return schemas.Text(string(element)), nil
	case "string":
		var text string
		if json.Unmarshal(element, &text) != nil {
			break
		}
		if object, err := strictjson.ReadObject([]byte(text)); err == nil && hasType(object) {
			return schemas.HSL(object.Text()), nil
		}
		return schemas.Text(text), nil
	case "object":
		object, err := strictjson.ReadObject(element)
		switch {
		case err != nil:
			return schemas.Message{}, fault.New(fault.BadResponse, "%s cannot be read: it must be an HSL object", place)
		case hasType(object), strictjson.Kind(object.Lookup("text")) == "string":
			return schemas.HSL(object.Text()), nil
		}
		return schemas.Message{}, fault.New(fault.BadResponse,
			"%s.type is missing: an HSL element is an object whose member type is a string", place)
	}
	return schemas.Message{}, fault.New(fault.BadResponse, "%s is of the type %s: it must be a text or an HSL object",
		place, kind)
}

// hasType reports whether an object names its kind of HSL element. Not every kind has data: FORM does not.
func hasType(object strictjson.Object) bool {
	var kind string
	return json.Unmarshal(object.Lookup("type"), &kind) == nil && kind != ""
}

// isBlank reports whether a message would show as an empty bubble.
func isBlank(m schemas.Message) bool {
	return m.HSL == nil && strings.TrimSpace(m.Text) == ""
}

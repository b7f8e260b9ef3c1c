package dialect

import (
	"bytes"
	"encoding/json"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Variables reads an object of variables: a string is the value, any other JSON is kept as its compact text, null (a nil
// value) deletes the variable. The error is a *fault.Fault of the kind bad_response that names the place.
func Variables(value json.RawMessage, place string) (map[string]*string, error) {
	if kind := strictjson.Kind(value); kind != "object" {
		return nil, fault.New(fault.BadResponse, "%s is of the type %s: it must be an object", place, kind)
	}
	object, err := strictjson.ReadObject(value)
	if err != nil {
		return nil, Unreadable(err)
	}
	variables := make(map[string]*string, object.Len())
	for name, value := range object.All() {
		text, err := textOf(value)
		if err != nil {
			return nil, fault.New(fault.BadResponse, "%s holds a value that cannot be read", place)
		}
		variables[name] = text
	}
	return variables, nil
}

func textOf(value json.RawMessage) (*string, error) {
	var text string
	switch strictjson.Kind(value) {
	case "null":
		return nil, nil
	case "string":
		err := json.Unmarshal(value, &text)
		return &text, err
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, value)
	text = compact.String()
	return &text, err
}

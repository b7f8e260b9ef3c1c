package strictjson

import (
	"bytes"
	"encoding/json"
)

// Kind names the type of a JSON value by its first byte: object, array, string, number, boolean or null. The value has
// to be well-formed; an empty one is "nothing".
func Kind(value json.RawMessage) string {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// Encode writes a value as compact JSON without HTML escapes: what a partner signs and logs should read as it was
// meant. Maps are written in the order of their keys, so equal values give equal bytes.
func Encode(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Merge lays the members of update over those of old, one level deep; null deletes. The result is in canonical form:
// compact, members sorted on every level, each name once, each text spelt the shortest way, numbers as they were
// written.
func Merge(old, update json.RawMessage) (json.RawMessage, error) {
	merged, err := decode(old)
	if err != nil {
		return nil, err
	}
	changes, err := decode(update)
	if err != nil {
		return nil, err
	}
	for name, value := range changes {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = value
		}
	}
	return Encode(merged)
}

// Decode reads a value by the rules into Go values that Encode writes canonically; numbers are json.Number.
func Decode(text []byte) (any, error) {
	checked, err := Read(text)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(checked))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil, ErrSyntax
	}
	return value, nil
}

func decode(text json.RawMessage) (map[string]any, error) {
	value, err := Decode(text)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, ErrNotObject
	}
	return object, nil
}

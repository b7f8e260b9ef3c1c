package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// attributes are the ones that have a field in Event, in its order.
var attributes = []string{
	"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "traceparent", "tracestate", "expirytime",
	"data",
}

// isExtension reports whether a CloudEvents extension attribute may have this name.
func isExtension(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == "" && !slices.Contains(attributes, name)
}

// extension reads an attribute that hookturn does not know. One that CloudEvents allows as an extension is kept: a name of
// small letters and digits, a string, number or boolean. Everything else is passed over.
func (e *Event) extension(s scanner, name []byte) error {
	if c := s.Peek(); c == '{' || c == '[' || c == 'n' || !isExtension(string(name)) {
		return s.Skip()
	}
	value, err := s.value()
	if err != nil {
		return err
	}
	if e.Extensions == nil {
		e.Extensions = map[string]json.RawMessage{}
	}
	e.Extensions[string(name)] = value
	return nil
}

// MarshalJSON writes the event with its extensions beside the other attributes, in the order of their names.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	raw, err := Marshal(plain(e))
	if err != nil || len(e.Extensions) == 0 {
		return raw, err
	}
	raw = raw[:len(raw)-1]
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		if value := e.Extensions[name]; isExtension(name) && json.Valid(value) {
			raw = append(append(append(raw, `,"`...), name...), `":`...)
			raw = append(raw, value...)
		}
	}
	return append(raw, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote. It is as lenient as encoding/json; DecodeEvent is for events from outside.
func (e *Event) UnmarshalJSON(raw []byte) error {
	type plain Event
	if err := json.Unmarshal(raw, (*plain)(e)); err != nil {
		return err
	}
	s := newScanner(raw)
	var read Event
	if err := s.Object(func(name []byte) error { return read.extension(s, name) }); err != nil {
		return nil //nolint:nilerr // no event of hookturn's: what it has beside the attributes is passed over
	}
	e.Extensions = read.Extensions
	return nil
}

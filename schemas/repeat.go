package schemas

import (
	"encoding/json"
	"maps"
	"strconv"
)

// AttributeRepeatOf is the extension attribute of an event that repeats the step of an earlier one: that one's id. The
// endpoint receives the same webhook-id, and the outcome is published as hookturn.step.late for the earlier event.
const AttributeRepeatOf = "hookturnrepeatof"

// Repeats returns the id of the event whose step this one repeats, "" when it does not repeat one.
func (e *Event) Repeats() string {
	var id string
	if raw, ok := e.Extensions[AttributeRepeatOf]; ok && json.Unmarshal(raw, &id) != nil {
		return ""
	}
	return id
}

// AskedID returns the id of the event by which the engine asked for the step: of a repeated one, that of the first.
func (e *Event) AskedID() string {
	if id := e.Repeats(); id != "" {
		return id
	}
	return e.ID
}

// Repeat returns the n-th event that repeats the step of this one.
func (e *Event) Repeat(n int) Event {
	again := e.Replay()
	again.ID = e.AskedID() + "/r" + strconv.Itoa(n)
	return again
}

// Replay returns the event for another try under its own id, after the engine has its hookturn.step.replied.
func (e *Event) Replay() Event {
	again := *e
	again.Extensions = map[string]json.RawMessage{}
	maps.Copy(again.Extensions, e.Extensions)
	if quoted, err := json.Marshal(e.AskedID()); err == nil { // a string
		again.Extensions[AttributeRepeatOf] = quoted
	}
	return again
}

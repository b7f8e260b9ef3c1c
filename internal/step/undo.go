package step

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// UserWrite is a write to the details of a user: a JSON object of the members that it changed, null for those that it
// removed.
type UserWrite struct {
	User   string          `json:"user"`
	Update json.RawMessage `json:"update"`
	Before json.RawMessage `json:"before,omitempty"` // the same members before the write
	// Failed reports that the write was reported as failed. It may have been stored all the same.
	Failed bool `json:"failed,omitempty"`
}

// NewUserWrite returns the write of an update over details.
func NewUserWrite(user string, update, before json.RawMessage) *UserWrite {
	w := &UserWrite{User: user, Update: update}
	var changed, all map[string]json.RawMessage
	if json.Unmarshal(update, &changed) != nil || json.Unmarshal(before, &all) != nil {
		return w
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { _, is := changed[name]; return !is })
	if members, err := json.Marshal(all); err == nil {
		w.Before = members
	}
	return w
}

// Undo returns the user's details without the write of an attempt whose answer does not count, because the engine has
// read another one: each member that still has the value of the write gets its value in read, the details in that reply,
// or the one before the write when the reply has no details. What another step has changed since stays. It returns old
// itself when nothing is to be undone.
func (w *UserWrite) Undo(old, read json.RawMessage) (json.RawMessage, error) {
	if len(read) == 0 {
		read = w.Before
	}
	var now, written, valid map[string]json.RawMessage
	for _, d := range []struct {
		text json.RawMessage
		into *map[string]json.RawMessage
	}{{old, &now}, {w.Update, &written}, {read, &valid}} {
		if len(d.text) == 0 {
			continue
		}
		if err := json.Unmarshal(d.text, d.into); err != nil {
			return nil, fmt.Errorf("user details are not a JSON object: %w", err)
		}
	}
	changed := false
	for name, value := range written {
		if !sameValue(now[name], value) || sameValue(now[name], valid[name]) {
			continue
		}
		changed = true
		if sameValue(valid[name], nil) {
			delete(now, name)
			continue
		}
		if now == nil {
			now = map[string]json.RawMessage{}
		}
		now[name] = valid[name]
	}
	if !changed {
		return old, nil
	}
	return json.Marshal(now)
}

// sameValue compares two members, of which an absent one is null. Stored details have one form, so bytes are compared.
func sameValue(a, b json.RawMessage) bool {
	return bytes.Equal(compact(a), compact(b))
}

func compact(value json.RawMessage) []byte {
	if len(value) == 0 {
		return []byte("null")
	}
	var short bytes.Buffer
	if json.Compact(&short, value) != nil {
		return value
	}
	return short.Bytes()
}

package step

import (
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

// Undone returns the values that the members of the write have without it, null for those that are then absent: the write of
// an attempt whose answer does not count, because the engine has read another one. They are those of read, the details in
// that reply, or those before the write when the reply has no details.
func (w *UserWrite) Undone(read json.RawMessage) (map[string]json.RawMessage, error) {
	if len(read) == 0 {
		read = w.Before
	}
	var written, valid map[string]json.RawMessage
	if err := json.Unmarshal(w.Update, &written); err != nil {
		return nil, fmt.Errorf("the update of user details is not a JSON object: %w", err)
	}
	if len(read) > 0 {
		if err := json.Unmarshal(read, &valid); err != nil {
			return nil, fmt.Errorf("the user details of the reply are not a JSON object: %w", err)
		}
	}
	for name := range written {
		written[name] = valid[name]
	}
	return written, nil
}

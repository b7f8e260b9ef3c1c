package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// headerMembers is where the stored details of a user keep the marks of their members. A value without it was written by an
// earlier release: its own fence and writer are those of all members.
const headerMembers = "Hookturn-Members"

const (
	// marksMax bounds the marks of a user's details: about 4 KiB. The details themselves hold at most 33 members.
	marksMax = 64
	// otherMembers is the name of the mark of all members that do not have one. It is not the hash of a name.
	otherMembers = "*"
)

// memberMark is the latest write to a member of a user's details. A removed member keeps its mark: an older write must not
// bring it back.
type memberMark struct {
	Fence  int64  `json:"f,omitempty"`
	Writer string `json:"w,omitempty"` // a hash of the id of the reply whose step wrote; "": unknown
}

// memberMarks are the marks of members, by the hash of their names.
type memberMarks map[string]memberMark

// marksOf returns the marks of a stored value, as far as their fences can be right.
func marksOf(v fencedValue) memberMarks {
	var m memberMarks
	if json.Unmarshal([]byte(v.members), &m) != nil || m == nil {
		m = memberMarks{}
		if v.fence != 0 || v.writer != "" {
			m[otherMembers] = memberMark{Fence: v.fence, Writer: shortHash(v.writer)}
		}
	}
	for name, mark := range m {
		mark.Fence = credible(mark.Fence, v.stored)
		m[name] = mark
	}
	return m
}

// of returns the mark of a member.
func (m memberMarks) of(name string) memberMark {
	if mark, ok := m[shortHash(name)]; ok {
		return mark
	}
	return m[otherMembers]
}

// set records a write to members. Of more members than are kept, those with the oldest fences share one mark from then on:
// writes to any of them that are older than the latest of these fences are dropped.
func (m memberMarks) set(names []string, fence int64, writer string) {
	for _, name := range names {
		m[shortHash(name)] = memberMark{Fence: max(fence, m.of(name).Fence), Writer: shortHash(writer)}
	}
	byAge := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[a].Fence, m[b].Fence), cmp.Compare(a, b))
	})
	byAge = slices.DeleteFunc(byAge, func(name string) bool { return name == otherMembers })
	for _, name := range byAge[:max(len(byAge)-marksMax, 0)] {
		m[otherMembers] = memberMark{Fence: max(m[name].Fence, m[otherMembers].Fence)}
		delete(m, name)
	}
}

// encoded returns the marks as headerMembers holds them.
func (m memberMarks) encoded() (string, error) {
	text, err := strictjson.Encode(m)
	return string(text), err
}

// split returns the part of an update that a write with a fence may set, nil when that is nothing, and the names of its
// members. dropped counts the others that differ from what is stored: a later write has set them. An update that is not an
// object is returned as it is.
func (m memberMarks) split(update json.RawMessage, fence int64, stored json.RawMessage) (
	fits json.RawMessage, names []string, dropped int, err error,
) {
	object, err := strictjson.ReadObject(update)
	if err != nil {
		return update, nil, 0, nil //nolint:nilerr // the dialect rejects it
	}
	now, _ := membersOf(stored) // the dialect rejects what cannot be read
	kept := map[string]json.RawMessage{}
	for name, value := range object.All() {
		switch {
		case !older(fence, m.of(name).Fence):
			names, kept[name] = append(names, name), value
		case !sameJSON(value, now[name]):
			dropped++
		}
	}
	switch {
	case len(kept) == object.Len():
		return update, names, 0, nil
	case len(kept) == 0:
		return nil, nil, dropped, nil
	}
	fits, err = strictjson.Encode(kept)
	return fits, names, dropped, err
}

// restored returns a value whose members have the values of a reply, where a step's own write is the latest one to them;
// null removes a member. It has the same data when that changes nothing.
func (v fencedValue) restored(writer string, valid map[string]json.RawMessage) (fencedValue, error) {
	marks := marksOf(v)
	var err error
	if v.members, err = marks.encoded(); err != nil {
		return v, err
	}
	now, err := membersOf(v.data)
	if err != nil {
		return v, err
	}
	changed := false
	for name, value := range valid {
		if marks.of(name).Writer != shortHash(writer) || sameJSON(now[name], value) {
			continue
		}
		changed = true
		if now[name] = value; sameJSON(value, nil) {
			delete(now, name)
		}
	}
	if changed {
		v.data, err = strictjson.Encode(now)
	}
	return v, err
}

// ErrUnreadable is the error for details that are not a JSON object. They stay as they are.
var ErrUnreadable = errors.New("user details are not a JSON object")

// membersOf returns the members of details. Absent details have none.
func membersOf(details json.RawMessage) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if len(details) == 0 {
		return members, nil
	}
	object, err := strictjson.ReadObject(details)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return maps.Collect(object.All()), nil
}

// sameJSON compares two members, of which an absent one is null.
func sameJSON(a, b json.RawMessage) bool { return canonical(a) == canonical(b) }

func canonical(value json.RawMessage) string {
	if len(value) == 0 {
		return "null"
	}
	decoded, err := strictjson.Decode(value)
	if err != nil {
		return string(value)
	}
	text, err := strictjson.Encode(decoded)
	if err != nil {
		return string(value)
	}
	return string(text)
}

// shortHash returns 16 hex digits for a text that may be long, or personal; "" for "".
func shortHash(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

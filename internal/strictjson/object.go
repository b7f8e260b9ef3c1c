package strictjson

import (
	"encoding/json"
	"iter"
)

// Object is a JSON object whose members keep the order in which they were written.
type Object struct {
	text    json.RawMessage
	members []member
	index   map[string]int
}

type member struct {
	name  string
	value json.RawMessage
}

// ReadObject checks a text by the rules and splits it into members. A name that comes again keeps its first place and gets
// the last value.
func ReadObject(text []byte) (Object, error) {
	o := Object{index: map[string]int{}}
	value, err := read(text, func(s *Scanner) error {
		if s.Peek() != '{' {
			return s.Skip()
		}
		return s.Object(func(name []byte) error {
			start := s.Pos()
			if err := s.Skip(); err != nil {
				return err
			}
			o.set(string(name), s.Since(start))
			return nil
		})
	})
	if err != nil {
		return Object{}, err
	}
	if Kind(value) != "object" {
		return Object{}, ErrNotObject
	}
	o.text = value
	return o, nil
}

func (o *Object) set(name string, value json.RawMessage) {
	if at, again := o.index[name]; again {
		o.members[at].value = value
		return
	}
	o.index[name] = len(o.members)
	o.members = append(o.members, member{name, value})
}

// Get finds a member by its exact name.
func (o Object) Get(name string) (json.RawMessage, bool) {
	at, ok := o.index[name]
	if !ok {
		return nil, false
	}
	return o.members[at].value, true
}

// Lookup is Get for members that mean nothing when they are null: it gives nil for null as for a member that is not
// there.
func (o Object) Lookup(name string) json.RawMessage {
	if value, ok := o.Get(name); ok && Kind(value) != "null" {
		return value
	}
	return nil
}

// Len is the number of members.
func (o Object) Len() int { return len(o.members) }

// All walks over the members in their order.
func (o Object) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, m := range o.members {
			if !yield(m.name, m.value) {
				return
			}
		}
	}
}

// Text is the object as it was written, without the white space around it.
func (o Object) Text() json.RawMessage { return o.text }

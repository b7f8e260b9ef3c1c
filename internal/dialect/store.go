package dialect

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Store is the rule of one JSON object that a dialect keeps between steps; the object itself is kept by the caller.
type Store struct {
	Name    string          // as the partner calls it
	Initial json.RawMessage // what it holds before it was ever set
	Limit   int             // longest encoded form, in Unicode code points
}

// Current is what the store holds: value, or Initial when it was never set.
func (s Store) Current(value json.RawMessage) json.RawMessage {
	if len(value) == 0 {
		return s.Initial
	}
	return value
}

// Merge applies an update to what the store holds: each member of update replaces the member of that name, null deletes
// it. The size is counted on the merged object in its canonical form (strictjson.Merge), so it does not depend on how
// the endpoint spells its JSON. An update that is not an object or makes the store too large is rejected as a whole: the
// result is then old as it was, and the error a *fault.Fault.
func (s Store) Merge(old, update json.RawMessage) (json.RawMessage, error) {
	if update == nil {
		return old, nil
	}
	if kind := strictjson.Kind(update); kind != "object" {
		return old, fault.New(fault.BadResponse, "%s is of the type %s: it must be an object", s.Name, kind)
	}
	merged, err := strictjson.Merge(s.Current(old), update)
	if err != nil {
		return old, fault.Wrap(fault.Internal, err, "the kept %s cannot be merged with the update", s.Name)
	}
	if size := utf8.RuneCount(merged); size > s.Limit {
		return old, fault.New(fault.TooLarge,
			"%s would have %d characters, %d are allowed: the update was refused and the old value kept",
			s.Name, size, s.Limit)
	}
	return merged, nil
}

package plain

import (
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// members are the members of an answer.
var members = []string{"messages", "variables", "conversation", "success"}

// seenMax bounds the members of an answer that are compared with the known ones.
const seenMax = 64

// known rejects an answer that has members but none that means anything: it was meant to say something, and a user who gets
// no message waits for one. The error names the member that is spelled most alike, never what the body holds.
func known(object strictjson.Object) error {
	if object.Len() == 0 {
		return nil
	}
	meant, seen := "", 0
	for name := range object.All() {
		if slices.Contains(members, name) {
			return nil
		}
		if seen++; meant == "" && seen <= seenMax {
			meant = nearest.Name(name, members)
		}
	}
	list := strings.Join(members, ", ")
	if meant == "" {
		return fault.New(fault.BadResponse, "the answer has none of the members %s", list)
	}
	return fault.New(fault.BadResponse, "the answer has none of the members %s: is one of its members meant to be %s?",
		list, meant)
}

package plain

import (
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// members are the members of an answer.
var members = []string{"messages", "variables", "conversation", "success"}

// known rejects an answer that has members but none that means anything: it was meant to say something, and a user who gets
// no message waits for one. The error names the member that is spelled most alike, never what the body holds.
func known(object strictjson.Object) error {
	if object.Len() == 0 {
		return nil
	}
	nearest, distance, seen := "", nearMax+1, 0
	for name := range object.All() {
		if slices.Contains(members, name) {
			return nil
		}
		if seen++; seen > seenMax || len(name) > 2*nearMax+len("conversation") {
			continue
		}
		for _, member := range members {
			if d := edits(strings.ToLower(name), member); d < distance {
				nearest, distance = member, d
			}
		}
	}
	list := strings.Join(members, ", ")
	if nearest == "" {
		return fault.New(fault.BadResponse, "the answer has none of the members %s", list)
	}
	return fault.New(fault.BadResponse, "the answer has none of the members %s: is one of its members meant to be %s?",
		list, nearest)
}

const (
	nearMax = 4  // edits between two names that may be the same word
	seenMax = 64 // members of an answer that are compared
)

// edits is the number of letters to insert, delete or replace that make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

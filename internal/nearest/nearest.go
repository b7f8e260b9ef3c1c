// Package nearest finds the name that a misspelt one was meant to be.
package nearest

import "strings"

const (
	// editsMax is how many letters at most two spellings of one name differ in; a short name allows one edit for three letters.
	editsMax = 4
	// nameMax bounds the names that are compared, in bytes: longer ones are not typed by hand.
	nameMax = 64
	// prefixMin is how many letters at least an abbreviated name has.
	prefixMin = 4
)

// Name returns the name that is spelled most like text, without regard to case; "" when none is close. Of two that are as
// close it returns the first.
func Name(text string, names []string) string {
	if text == "" || len(text) > nameMax {
		return ""
	}
	text = strings.ToLower(text)
	found, least := "", editsMax+1
	for _, name := range names {
		if len(name) > nameMax {
			continue
		}
		lower := strings.ToLower(name)
		limit := min(least-1, max(1, min(editsMax, len(name)/3)))
		if d, ok := edits(text, lower, limit); ok {
			found, least = name, d
			continue
		}
		if len(text) >= prefixMin && strings.HasPrefix(lower, text) && least > editsMax {
			found, least = name, editsMax
		}
	}
	return found
}

// Hint returns a question that ends an error about text, such as `: did you mean timeout?`; "" when no name is close.
func Hint(text string, names []string) string {
	if name := Name(text, names); name != "" {
		return ": did you mean " + name + "?"
	}
	return ""
}

// edits returns how many letters to insert, delete, replace, or exchange with the next one make b of a. It reports false
// when they are more than limit.
func edits(a, b string, limit int) (n int, ok bool) {
	if limit < 0 || len(a)-len(b) > limit || len(b)-len(a) > limit {
		return 0, false
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > limit {
			return 0, false
		}
		before, last, row = last, row, before
	}
	return last[len(b)], last[len(b)] <= limit
}

package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one defect of one bot file.
type Problem struct {
	File    string // name of the file in its directory
	Line    int    // from 1; 0 when the file as a whole is meant
	Column  int    // from 1; 0 when Line is
	Key     string // such as $.steps.ORDER_STATUS.webhook.timeout; "" when the file as a whole is meant
	Message string // never holds a secret
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Message
}

// attributes are what a log line says about the problem.
func (p Problem) attributes() []any {
	return []any{"file", p.File, "line", p.Line, "column", p.Column, "key", p.Key, "problem", p.Message}
}

// Problems is every defect of a directory of bot files, as an error with one line a problem.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the problems into the order in which a reader meets them.
func (p Problems) sorted() Problems {
	slices.SortFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message),
		)
	})
	return p
}

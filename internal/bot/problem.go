package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one error in a bot file.
type Problem struct {
	File    string // name of the file in its directory
	Line    int    // from 1; 0 for the whole file
	Column  int    // from 1; 0 when Line is
	Key     string // such as $.steps.ORDER_STATUS.webhook.timeout; "" for the whole file
	Message string // never contains a secret
}

// String returns the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(shownFile(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Message
}

// shownFile returns the name of a file as problems show it: quoted when it has characters that are not printable, so that a
// problem is one line of text.
func shownFile(name string) string {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// attributes returns the log attributes of the problem.
func (p Problem) attributes() []any {
	return []any{"file", p.File, "line", p.Line, "column", p.Column, "key", p.Key, "problem", p.Message}
}

// Problems holds all problems of a directory of bot files. As an error, it has one line for each.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems by file and position.
func (p Problems) sorted() Problems {
	slices.SortFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message),
		)
	})
	return p
}

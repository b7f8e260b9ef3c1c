package bot

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// fileMax is the largest bot file, in bytes: some hundred steps.
	fileMax = 256 << 10
	// nestingMax is far above what a bot file needs, and far below what makes the parser slow.
	nestingMax = 32
)

// document is a YAML file that is being read: the position of each key, and the problems so far.
type document struct {
	name     string
	places   map[string]place    // of every key path
	texts    map[string]string   // of those that are strings
	anchors  map[string]ast.Node // by name
	problems Problems            // at most problemsMax

	warnings  Problems
	expanded  expansion
	abandoned func() bool // reports whether the load was abandoned; nil: no
}

// place is the position of a value.
type place struct{ line, column int }

// parseDocument parses the YAML of a file. The node is nil, and a problem is added, when there is nothing to decode.
func parseDocument(name string, data []byte) (*document, ast.Node) {
	d := &document{
		name:    name,
		places:  map[string]place{"$": {line: 1, column: 1}},
		texts:   map[string]string{},
		anchors: map[string]ast.Node{},
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	switch {
	case len(data) > fileMax:
		d.problem("", "the file is larger than %d bytes", fileMax)
		return d, nil
	case !utf8.Valid(data):
		d.problem("", "the file is not valid UTF-8")
		return d, nil
	}
	file, err := parseYAML(string(data))
	if err != nil {
		d.syntax(err)
		return d, nil
	}
	switch {
	case len(file.Docs) > 1:
		d.problem("", "the file holds several YAML documents: want one bot a file")
		return d, nil
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		d.problem("", "the file is empty")
		return d, nil
	}
	return d, file.Docs[0].Body
}

// parseYAML allows duplicate keys, because the parser would stop at the first; decode reports all of them. A panic of
// the parser must not end a process that has a good configuration to go on with.
func parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errors.New("the parser panicked")
		}
	}()
	tokens := lexer.Tokenize(text)
	if deep := tooDeep(tokens); deep != nil {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("nested deeper than %d levels", nestingMax), Token: deep}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds the token that opens one level of nesting too many, on one line or in brackets. (Nesting by indentation
// is bounded by the size of the file.)
func tooDeep(tokens token.Tokens) *token.Token {
	var brackets, dashes, line int
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType:
			dashes++
		}
		if brackets+dashes > nestingMax {
			return t
		}
	}
	return nil
}

func (d *document) syntax(err error) {
	// The text of other errors may quote the file, and so a secret in the wrong place.
	problem := Problem{File: d.name, Message: "invalid YAML: the parser cannot read this file"}
	if at, ok := errors.AsType[yaml.Error](err); ok {
		message, _, _ := strings.Cut(at.GetMessage(), `: "`) // for the same reason
		problem.Message = "invalid YAML: " + message
		if t := at.GetToken(); t != nil && t.Position != nil {
			problem.Line, problem.Column = t.Position.Line, t.Position.Column
		}
	}
	d.problems = append(d.problems, problem)
}

// problem reports a defect of the value at a key path; when the file does not have the path, it points at the nearest
// parent that is there.
func (d *document) problem(path, format string, args ...any) {
	d.add(d.problemOf(path, format, args...))
}

// warn reports a value that is allowed but probably a mistake.
func (d *document) warn(path, format string, args ...any) {
	if len(d.warnings) < problemsMax {
		d.warnings = append(d.warnings, d.problemOf(path, format, args...))
	}
}

func (d *document) problemOf(path, format string, args ...any) Problem {
	p := Problem{File: d.name, Key: path, Message: fmt.Sprintf(format, args...)}
	for at := path; at != ""; at = parent(at) {
		if place, ok := d.places[at]; ok {
			p.Line, p.Column = place.line, place.column
			break
		}
	}
	return p
}

// problemAt reports a defect at a token, for places that have no key path of their own.
func (d *document) problemAt(t *token.Token, path, format string, args ...any) {
	p := Problem{File: d.name, Key: path, Message: fmt.Sprintf(format, args...)}
	if t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	d.add(p)
}

// problemsMax is the number of problems that one file can add to the log.
const problemsMax = 100

func (d *document) add(p Problem) {
	switch {
	case len(d.problems) < problemsMax:
		d.problems = append(d.problems, p)
	case len(d.problems) == problemsMax:
		d.problems = append(d.problems, Problem{File: d.name, Message: "has more problems, which are not listed"})
	}
}

// has reports whether the file has a key path, well-typed or not.
func (d *document) has(path string) bool {
	_, ok := d.places[path]
	return ok
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// member is the path of a key of a mapping. Anything but a plain key is quoted, so that a path is one printable word.
func member(path, key string) string {
	if plainKey.MatchString(key) {
		return path + "." + key
	}
	return path + "[" + quote(key) + "]"
}

// item is the path of an element of a list.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// quote shows text of the file in a problem, at most 64 bytes of it.
func quote(text string) string {
	if len(text) > 64 {
		text = strings.ToValidUTF8(text[:61], "") + "..."
	}
	return strconv.QuoteToASCII(text)
}

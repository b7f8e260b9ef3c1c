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

	"github.com/hookturn/hookturn/internal/nearest"
)

const (
	// fileMax is the largest bot file, in bytes: some hundred steps.
	fileMax = 256 << 10
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
	abandoned func() bool // reports whether the load was abandoned
	nearest   func(text string, names []string) string
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

		abandoned: func() bool { return false },
		nearest:   nearest.Hint,
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
	if message, at := tooMany(tokens); at != nil {
		return nil, &yaml.SyntaxError{Message: message, Token: at}
	}
	if long := tooLong(tokens); long != nil {
		return nil, &yaml.SyntaxError{Message: "keys that are too long for what they contain", Token: long}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
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
	d.add(func() Problem { return d.problemOf(path, format, args...) })
}

// warn reports a value that is allowed but probably a mistake.
func (d *document) warn(path, format string, args ...any) {
	if len(d.warnings) < problemsMax {
		d.warnings = append(d.warnings, d.problemOf(path, format, args...))
	}
}

func (d *document) problemOf(path, format string, args ...any) Problem {
	p := Problem{File: d.name, Key: shownPath(path), Message: fmt.Sprintf(format, args...)}
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
	d.add(func() Problem {
		p := Problem{File: d.name, Key: shownPath(path), Message: fmt.Sprintf(format, args...)}
		if t != nil && t.Position != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
		return p
	})
}

// problemsMax is the number of problems that one file can add to the log.
const problemsMax = 100

// add lists a problem. It does not format one that is not listed: a file can have many thousands.
func (d *document) add(problem func() Problem) {
	switch {
	case len(d.problems) < problemsMax:
		d.problems = append(d.problems, problem())
	case len(d.problems) == problemsMax:
		d.problems = append(d.problems, Problem{File: d.name, Message: "has more problems, which are not listed"})
	}
}

// hint is the end of a problem about an unknown name: the known name that was probably meant, if any.
type hint func() string

// String compares the names, so only a problem that is listed costs a comparison with all of them.
func (h hint) String() string { return h() }

func (d *document) hint(text string, known func() []string) hint {
	return func() string { return d.nearest(text, known()) }
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

// shownPathMax bounds the key path of a problem, in bytes: a key can be as long as its file, and each problem is a log line.
const shownPathMax = 512

// shownPath is a path as problems have it. Of a longer one, the middle is left out.
func shownPath(path string) string {
	if len(path) <= shownPathMax {
		return path
	}
	const half = shownPathMax/2 - 2
	return strings.ToValidUTF8(path[:half], "") + "..." + strings.ToValidUTF8(path[len(path)-half:], "")
}

// quote shows text of the file in a problem, at most 64 bytes of it.
func quote(text string) string {
	if len(text) > 64 {
		text = strings.ToValidUTF8(text[:61], "") + "..."
	}
	return strconv.QuoteToASCII(text)
}

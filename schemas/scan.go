package schemas

import (
	"bytes"
	"unicode/utf8"
)

// depthMax is how deep objects and arrays may nest. Go's own decoder allows 10,000, which costs stack in every program
// that reads the event afterwards.
const depthMax = 64

// scanner walks over JSON text once and checks what encoding/json is lenient about: invalid UTF-8, depth, repeated member
// names, and U+0000 and halves of surrogate pairs, which are replaced in values and rejected in names. Its methods expect
// pos at the first byte of a value, white space skipped, and leave it behind that value.
type scanner struct {
	raw   []byte
	pos   int
	depth int
	ahead bool     // the text is read again later: nothing in it is replaced yet
	owned bool     // raw is a copy
	names [][]byte // of the members seen so far in every object that is open, innermost last
}

// manyNames is the number of members from which an object's names are looked up in a map instead of one by one.
const manyNames = 16

// object reads an object; member is called with pos at the member's value and must consume it.
func (s *scanner) object(member func(s *scanner, name []byte) error) error {
	if err := s.open('{', "an object"); err != nil {
		return err
	}
	mark := len(s.names)
	var many map[string]bool
	for first := true; ; first = false {
		if done, err := s.next('}', first, "a member name"); done || err != nil {
			s.names = s.names[:mark]
			return err
		}
		name, err := s.memberName()
		if err != nil {
			return err
		}
		if many, err = s.unique(name, mark, many); err != nil {
			return err
		}
		if err := member(s, name); err != nil {
			return under(string(name), err)
		}
	}
}

// array reads an array; item is called with pos at each item and must consume it.
func (s *scanner) array(item func(s *scanner) error) error {
	if err := s.open('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if done, err := s.next(']', i == 0, "an item"); done || err != nil {
			return err
		}
		if err := item(s); err != nil {
			return underIndex(i, err)
		}
	}
}

// skip reads any value and checks all of it.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(s *scanner, _ []byte) error { return s.skip() })
	case c == '[':
		return s.array((*scanner).skip)
	case c == '"':
		_, _, err := s.quoted(asValue)
		return err
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.syntax(s.pos, "expected a JSON value")
}

// end makes sure that nothing but white space follows.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.raw) {
		return s.syntax(s.pos, "there is more text after the end of the event")
	}
	return nil
}

func (s *scanner) open(bracket byte, what string) error {
	if s.peek() != bracket {
		return s.wrongType(what)
	}
	if s.depth++; s.depth > depthMax {
		return s.syntax(s.pos, "objects and arrays nest deeper than %d levels", depthMax)
	}
	s.pos++
	return nil
}

// next moves to the next member or item; done is true when the closing bracket came instead.
func (s *scanner) next(closing byte, first bool, what string) (done bool, err error) {
	s.space()
	if s.peek() == closing {
		s.pos++
		s.depth--
		return true, nil
	}
	if first {
		return false, nil
	}
	if s.peek() != ',' {
		return false, s.syntax(s.pos, "expected a comma or %q", closing)
	}
	s.pos++
	s.space()
	if s.peek() == closing {
		return false, s.syntax(s.pos, "expected %s after the comma", what)
	}
	return false, nil
}

// memberName reads a name and its colon.
func (s *scanner) memberName() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.syntax(s.pos, "expected a member name in double quotes")
	}
	body, escaped, err := s.quoted(asName)
	if err != nil {
		return nil, err
	}
	if escaped {
		body = []byte(unquote(body))
	}
	s.space()
	if s.peek() != ':' {
		return nil, s.syntax(s.pos, "expected a colon after the member name")
	}
	s.pos++
	s.space()
	return body, nil
}

// unique refuses a name that the innermost open object has already. Readers of JSON differ in which of two members they
// take, so a message with both means different things to different programs.
func (s *scanner) unique(name []byte, mark int, many map[string]bool) (map[string]bool, error) {
	mine := s.names[mark:]
	if many == nil && len(mine) >= manyNames {
		many = make(map[string]bool, 2*manyNames)
		for _, n := range mine {
			many[string(n)] = true
		}
	}
	found := many[string(name)]
	for i := 0; many == nil && i < len(mine) && !found; i++ {
		found = bytes.Equal(mine[i], name)
	}
	if found {
		return many, under(string(name), s.syntax(s.pos, "the member occurs twice in one object"))
	}
	if many != nil {
		many[string(name)] = true
		return many, nil
	}
	s.names = append(s.names, name)
	return nil, nil
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.raw) {
		switch s.raw[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek is the byte at pos, 0 at the end of the text.
func (s *scanner) peek() byte {
	if s.pos < len(s.raw) {
		return s.raw[s.pos]
	}
	return 0
}

// syntax is an error at a byte of the text, given as a developer finds it: as an offset and as line and column.
func (s *scanner) syntax(at int, format string, args ...any) error {
	at = min(at, len(s.raw))
	before := s.raw[:at]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	prefix := "has bad JSON at byte %d (line %d, column %d): "
	return invalid(prefix+format, append([]any{at, line, column}, args...)...)
}

// wrongType is the error of a value that is of another type than what; a text that is not a value at all is a syntax
// error.
func (s *scanner) wrongType(what string) error {
	kinds := map[byte]string{'{': "an object", '[': "an array", '"': "a string", 't': "a boolean", 'f': "a boolean",
		'n': "null", '-': "a number"}
	kind := kinds[s.peek()]
	if isDigit(s.peek()) {
		kind = "a number"
	}
	if err := s.skip(); err != nil || kind == "" {
		return err
	}
	return invalid("must be %s, not %s", what, kind)
}

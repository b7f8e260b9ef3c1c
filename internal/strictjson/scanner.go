package strictjson

import "bytes"

// Duplicates is what becomes of a member whose name its object has already.
type Duplicates int

const (
	// DuplicatesLast takes the last of the members, as most readers of JSON do.
	DuplicatesLast Duplicates = iota
	// DuplicatesRejected rejects the text. Readers differ in which of two members they take, so a message with both means
	// different things to different programs.
	DuplicatesRejected
)

// Scanner walks over JSON text once and checks what encoding/json is lenient about. Its methods expect the position at the
// first byte of a value, white space skipped, and leave it behind that value. Escapes of U+0000 and of half a surrogate
// pair are replaced in values and rejected in names. An error in the text is a *SyntaxError; one below a member or an item
// is an *Error with the way to it.
type Scanner struct {
	raw        []byte
	pos        int
	depth      int
	duplicates Duplicates
	ahead      bool     // the text is read again later: nothing in it is replaced yet
	owned      bool     // raw is a copy
	names      [][]byte // of the members seen so far in every object that is open, innermost last
}

// manyNames is the number of members from which an object's names are looked up in a map instead of one by one.
const manyNames = 16

// NewScanner returns a new scanner at the first byte of a text that is not white space; a byte order mark is skipped.
func NewScanner(raw []byte, duplicates Duplicates) *Scanner {
	s := &Scanner{raw: raw, pos: len(raw) - len(WithoutBOM(raw)), duplicates: duplicates}
	s.space()
	return s
}

// Pos returns the position in the text.
func (s *Scanner) Pos() int { return s.pos }

// Since returns the text from a position on, with what was replaced in it. It shares the scanner's memory.
func (s *Scanner) Since(start int) []byte { return s.raw[start:s.pos:s.pos] }

// Return goes back to a position inside of depth objects and arrays.
func (s *Scanner) Return(pos, depth int) { s.pos, s.depth = pos, depth }

// SkipAhead is Skip for a value that is read again later: nothing in it is replaced, so that a name inside it is still seen
// as it came.
func (s *Scanner) SkipAhead() error {
	s.ahead = true
	err := s.Skip()
	s.ahead = false
	return err
}

// Object reads an object; member is called with the position at the member's value and must consume it.
func (s *Scanner) Object(member func(name []byte) error) error {
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
		if s.duplicates == DuplicatesRejected {
			if many, err = s.unique(name, mark, many); err != nil {
				return err
			}
		}
		if err := member(name); err != nil {
			return Under(string(name), err)
		}
	}
}

// Array reads an array; item is called with the position at each item and must consume it.
func (s *Scanner) Array(item func() error) error {
	if err := s.open('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if done, err := s.next(']', i == 0, "an item"); done || err != nil {
			return err
		}
		if err := item(); err != nil {
			return underIndex(i, err)
		}
	}
}

// Skip reads any value and checks all of it.
func (s *Scanner) Skip() error {
	switch c := s.Peek(); {
	case c == '{':
		return s.Object(func([]byte) error { return s.Skip() })
	case c == '[':
		return s.Array(s.Skip)
	case c == '"':
		_, _, err := s.quoted(AsValue)
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

// End makes sure that only white space follows; what names the value before it in the error.
func (s *Scanner) End(what string) error {
	s.space()
	if s.pos < len(s.raw) {
		return s.syntax(s.pos, "there is more text after the end of "+what)
	}
	return nil
}

func (s *Scanner) open(bracket byte, what string) error {
	if s.Peek() != bracket {
		return s.WrongType(what)
	}
	if s.depth++; s.depth > DepthMax {
		return s.fail(ErrDepth, s.pos, ErrDepth.Error())
	}
	s.pos++
	return nil
}

// next moves to the next member or item; done is true when the closing bracket came instead.
func (s *Scanner) next(closing byte, first bool, what string) (done bool, err error) {
	s.space()
	if s.Peek() == closing {
		s.pos++
		s.depth--
		return true, nil
	}
	if first {
		return false, nil
	}
	if s.Peek() != ',' {
		return false, s.syntax(s.pos, "expected a comma or '"+string(closing)+"'")
	}
	s.pos++
	s.space()
	if s.Peek() == closing {
		return false, s.syntax(s.pos, "expected "+what+" after the comma")
	}
	return false, nil
}

// memberName reads a name and its colon.
func (s *Scanner) memberName() ([]byte, error) {
	if s.Peek() != '"' {
		return nil, s.syntax(s.pos, "expected a member name in double quotes")
	}
	body, escaped, err := s.quoted(AsName)
	if err != nil {
		return nil, err
	}
	if escaped {
		body = []byte(unquote(body))
	}
	s.space()
	if s.Peek() != ':' {
		return nil, s.syntax(s.pos, "expected a colon after the member name")
	}
	s.pos++
	s.space()
	return body, nil
}

// unique rejects a name that the innermost open object has already.
func (s *Scanner) unique(name []byte, mark int, many map[string]bool) (map[string]bool, error) {
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
		return many, Under(string(name), s.fail(ErrDuplicate, s.pos, ErrDuplicate.Error()))
	}
	if many != nil {
		many[string(name)] = true
		return many, nil
	}
	s.names = append(s.names, name)
	return nil, nil
}

// space skips white space.
func (s *Scanner) space() {
	for s.pos < len(s.raw) {
		switch s.raw[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// Peek returns the byte at the position, 0 at the end of the text.
func (s *Scanner) Peek() byte {
	if s.pos < len(s.raw) {
		return s.raw[s.pos]
	}
	return 0
}

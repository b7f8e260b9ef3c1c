package strictjson

import (
	"bytes"
	"errors"
)

// scan checks what encoding/json does not: the depth and what escapes stand for. It returns text itself, or a copy in which
// Replacement stands in string values. It runs before the syntax is known to be right, so it has to bear any text.
func scan(text []byte) ([]byte, error) {
	var s quotes
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			var err error
			if text, err = s.quote(text, i); err != nil {
				return nil, err
			}
		case s.open && c == '\\':
			i += s.escape(text, i) - 1
		case s.open:
		case c == '{', c == '[':
			depth++
			if depth > DepthMax {
				return nil, fail(ErrDepth, i)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return text, nil
}

// quotes follows the quotes of a text.
type quotes struct {
	open   bool  // inside a string
	bad    []int // places of the escapes in this string that Replacement is for
	reason error // why the first of them is
	owned  bool  // the text is a copy
}

// quote is called at each quote; at the end of a string it replaces the bad escapes of a value and rejects those of a name.
func (s *quotes) quote(text []byte, at int) ([]byte, error) {
	s.open = !s.open
	if s.open || len(s.bad) == 0 {
		return text, nil
	}
	if isName(text[at+1:]) {
		return nil, fail(s.reason, s.bad[0])
	}
	if !s.owned {
		text, s.owned = bytes.Clone(text), true
	}
	for _, place := range s.bad {
		copy(text[place:], Replacement)
	}
	s.bad = s.bad[:0]
	return text, nil
}

// escape returns the length of the escape at a place. One that JSON does not have is left to the check of the syntax.
func (s *quotes) escape(text []byte, at int) int {
	length, err := Escape(text[at:])
	switch {
	case errors.Is(err, ErrSyntax):
		return 2
	case err != nil:
		if len(s.bad) == 0 {
			s.reason = err
		}
		s.bad = append(s.bad, at)
	}
	return length
}

// isName reports whether the string that ends before rest is the name of a member.
func isName(rest []byte) bool {
	rest = bytes.TrimLeft(rest, whiteSpace)
	return len(rest) > 0 && rest[0] == ':'
}

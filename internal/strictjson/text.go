package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Use is what a string is for.
type Use int

const (
	// AsName is an id, a subject, a name or a key: it is taken as it is or not at all.
	AsName Use = iota
	// AsValue is a text for a person or an endpoint.
	AsValue
)

// Text reads a string.
func (s *Scanner) Text(use Use) (string, error) {
	if s.Peek() != '"' {
		return "", s.WrongType("a string")
	}
	body, escaped, err := s.quoted(use)
	if err != nil || !escaped {
		return string(body), err
	}
	return unquote(body), nil
}

// Number reads a number as it is written; what names the type in the error for a value of another.
func (s *Scanner) Number(what string) (string, error) {
	start := s.pos
	if c := s.Peek(); c != '-' && !isDigit(c) {
		return "", s.WrongType(what)
	}
	err := s.number()
	return string(s.raw[start:s.pos]), err
}

// quoted reads a string and returns the bytes between its quotes, still escaped when escaped is true. In a value, the
// escapes of U+0000 and of half a surrogate pair are replaced; a name with one is rejected.
func (s *Scanner) quoted(use Use) (body []byte, escaped bool, err error) {
	start, ascii := s.pos+1, true
	for i := start; i < len(s.raw); i++ {
		switch c := s.raw[i]; {
		case c == '"':
			body = s.raw[start:i]
			if !ascii && !utf8.Valid(body) {
				return nil, false, s.fail(ErrUTF8, start+validPrefix(body), "a string holds bytes that are not UTF-8")
			}
			s.pos = i + 1
			return body, escaped, nil
		case c == '\\':
			width, err := s.escape(i, use)
			if err != nil {
				return nil, false, err
			}
			escaped = true
			i += width - 1
		case c < ' ':
			return nil, false, s.syntax(i, "a control character in a string must be escaped")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false, s.syntax(len(s.raw), "a string has no end")
}

// escape checks the escape sequence whose backslash is at i and returns its length; a surrogate pair is one sequence.
func (s *Scanner) escape(i int, use Use) (width int, err error) {
	if len(s.raw) == i+1 {
		return 0, s.syntax(i, "a string has no end")
	}
	width, err = escapeAt(s.raw[i:])
	switch {
	case err == nil:
		return width, nil
	case errors.Is(err, ErrSyntax):
		return 0, s.syntax(i, "an escape sequence is not one that JSON knows")
	case use == AsValue:
		s.replace(i)
		return width, nil
	case errors.Is(err, ErrNUL):
		return 0, s.fail(ErrNUL, i, "a name, an id or a subject must not hold U+0000")
	}
	return 0, s.fail(ErrSurrogate, i, "a name, an id or a subject must not hold half of a surrogate pair")
}

// replace puts U+FFFD in the place of the escape at i. The text stays the caller's: the first change makes a copy.
func (s *Scanner) replace(i int) {
	if s.ahead {
		return
	}
	if !s.owned {
		s.raw, s.owned = bytes.Clone(s.raw), true
	}
	copy(s.raw[i:], replacement)
}

// unquote resolves the escapes of a string that quoted has checked.
func unquote(body []byte) string {
	var text string
	// quoted accepts no string that encoding/json rejects, so the error is always nil.
	_ = json.Unmarshal([]byte(`"`+string(body)+`"`), &text)
	return text
}

// number reads a number and leaves its value alone.
func (s *Scanner) number() error {
	if s.Peek() == '-' {
		s.pos++
	}
	switch {
	case s.Peek() == '0':
		s.pos++
	case s.digits() == 0:
		return s.syntax(s.pos, "expected a digit")
	}
	if s.Peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.syntax(s.pos, "expected a digit after the decimal point")
		}
	}
	if c := s.Peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.Peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.syntax(s.pos, "expected a digit in the exponent")
		}
	}
	return nil
}

func (s *Scanner) digits() (n int) {
	for ; isDigit(s.Peek()); s.pos++ {
		n++
	}
	return n
}

// literal reads one of the words true, false and null.
func (s *Scanner) literal(word string) error {
	if string(s.raw[s.pos:min(s.pos+len(word), len(s.raw))]) != word {
		return s.syntax(s.pos, "expected a JSON value")
	}
	s.pos += len(word)
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// validPrefix counts the bytes before the first that is not UTF-8.
func validPrefix(b []byte) (n int) {
	for n < len(b) {
		r, width := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && width == 1 {
			break
		}
		n += width
	}
	return n
}

package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/dialect/strictjson"
)

// quoted reads a string and returns the bytes between its quotes, still escaped when escaped is true. In a value, the
// escapes of U+0000 and of half a surrogate pair are replaced; a name with one is rejected.
func (s *scanner) quoted(use use) (body []byte, escaped bool, err error) {
	start, ascii := s.pos+1, true
	for i := start; i < len(s.raw); i++ {
		switch c := s.raw[i]; {
		case c == '"':
			body = s.raw[start:i]
			if !ascii && !utf8.Valid(body) {
				return nil, false, s.syntax(start+validPrefix(body), "a string holds bytes that are not UTF-8")
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

// use is what a string is for.
type use int

const (
	asName  use = iota // an id, a subject, a name or a key: taken as it is or not at all
	asValue            // a text for a person or an endpoint
)

// escape checks the escape sequence whose backslash is at i and returns its length; a surrogate pair is one sequence.
func (s *scanner) escape(i int, use use) (width int, err error) {
	if len(s.raw) == i+1 {
		return 0, s.syntax(i, "a string has no end")
	}
	width, err = strictjson.Escape(s.raw[i:])
	switch {
	case err == nil:
		return width, nil
	case errors.Is(err, strictjson.ErrSyntax):
		return 0, s.syntax(i, "an escape sequence is not one that JSON knows")
	case use == asValue:
		s.replace(i)
		return width, nil
	case errors.Is(err, strictjson.ErrNUL):
		return 0, s.syntax(i, "a name, an id or a subject must not hold U+0000")
	}
	return 0, s.syntax(i, "a name, an id or a subject must not hold half of a surrogate pair")
}

// replace puts U+FFFD in the place of the escape at i. The text stays the caller's: the first change makes a copy. While
// data is only passed over to find its end nothing is changed, so that a name inside it is still seen as it came.
func (s *scanner) replace(i int) {
	if s.ahead {
		return
	}
	if !s.owned {
		s.raw, s.owned = bytes.Clone(s.raw), true
	}
	copy(s.raw[i:], strictjson.Replacement)
}

// unquote resolves the escapes of a string that quoted has checked.
func unquote(body []byte) string {
	var text string
	// quoted accepts no string that encoding/json refuses, so the error is always nil.
	_ = json.Unmarshal([]byte(`"`+string(body)+`"`), &text)
	return text
}

// number reads a number and leaves its value alone.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	switch {
	case s.peek() == '0':
		s.pos++
	case s.digits() == 0:
		return s.syntax(s.pos, "expected a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.syntax(s.pos, "expected a digit after the decimal point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.syntax(s.pos, "expected a digit in the exponent")
		}
	}
	return nil
}

func (s *scanner) digits() (n int) {
	for ; isDigit(s.peek()); s.pos++ {
		n++
	}
	return n
}

// literal reads one of the words true, false and null.
func (s *scanner) literal(word string) error {
	if string(s.raw[s.pos:min(s.pos+len(word), len(s.raw))]) != word {
		return s.syntax(s.pos, "expected a JSON value")
	}
	s.pos += len(word)
	return nil
}

// wholeNumber is the value of a JSON number that is an integer from 0 to limit, however it is written: 3, 3.0 and 30e-1
// are one number to JSON Schema, too.
func wholeNumber(text string, limit int64) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, n >= 0 && n <= limit
	}
	if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(exponent) > exponentMax || len(text) > numberMax {
		return 0, false
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok || !n.IsInt() || !n.Num().IsInt64() {
		return 0, false
	}
	return n.Num().Int64(), n.Sign() >= 0 && n.Num().Int64() <= limit
}

// Bounds on the texts that wholeNumber computes exactly, so that 1e999999 costs nothing: an exponent of three
// characters, sign included, reaches beyond every integer that a member may have.
const (
	exponentMax = 3
	numberMax   = 64
)

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

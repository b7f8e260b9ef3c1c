package schemas

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a string and gives the bytes between its quotes, still escaped when escaped is true.
func (s *scanner) quoted() (body []byte, escaped bool, err error) {
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
			width, err := s.escape(i)
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

// escape checks the escape sequence whose backslash is at i and gives its length; a surrogate pair is one sequence.
func (s *scanner) escape(i int) (width int, err error) {
	rest := s.raw[i+1:]
	if len(rest) == 0 {
		return 0, s.syntax(i, "a string has no end")
	}
	if strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0 {
		return 2, nil
	}
	unit, ok := codeUnit(s.raw[i:])
	switch {
	case !ok:
		return 0, s.syntax(i, "an escape sequence is not one that JSON knows")
	case unit == 0:
		return 0, s.syntax(i, "a string holds U+0000, which hookturn does not take")
	case !utf16.IsSurrogate(unit):
		return 6, nil
	}
	low, ok := codeUnit(s.raw[i+6:])
	if !ok || utf16.DecodeRune(unit, low) == utf8.RuneError {
		return 0, s.syntax(i, "a string holds half of a surrogate pair")
	}
	return 12, nil
}

// codeUnit reads an escape of the form \u0041.
func codeUnit(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	unit := rune(0)
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			unit = unit<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
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

// Package strictjson reads JSON that strangers wrote, by rules that leave no room for two readings:
//
//   - one value and nothing behind it, at most DepthMax levels deep;
//   - valid UTF-8, no escape of a lone surrogate, no U+0000: what cannot be stored or shown is refused, where
//     encoding/json would put U+FFFD silently;
//   - numbers stay the text they are, however large;
//   - names of members are compared exactly; of two members with one name the last counts, as in most readers of JSON;
//   - a byte order mark at the beginning is ignored, as RFC 8259 allows.
//
// Reading never recurses deeper than DepthMax. Errors say which rule was broken and at which byte, and never quote the
// text.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// DepthMax is how many objects and arrays may be open inside each other.
const DepthMax = 64

// The rules that a text can break. All but ErrEmpty and ErrNotObject are returned with the byte at which it happened.
var (
	ErrDepth     = fmt.Errorf("objects and arrays are nested deeper than %d levels", DepthMax)
	ErrEmpty     = errors.New("there is no text")
	ErrNotObject = errors.New("the JSON is not an object")
	ErrNUL       = errors.New("there is a U+0000")
	ErrSurrogate = errors.New("half of a surrogate pair stands alone")
	ErrSyntax    = errors.New("not one well-formed JSON value")
	ErrUTF8      = errors.New("the text is not UTF-8")
)

var byteOrderMark = []byte("\uFEFF")

// Read checks a text by the rules and gives its value without the white space around it. The result shares the text's
// memory.
func Read(text []byte) (json.RawMessage, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	if len(bytes.TrimLeft(text, " \t\r\n")) == 0 {
		return nil, ErrEmpty
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, fail(ErrUTF8, at)
	}
	if err := scan(text); err != nil {
		return nil, err
	}
	if err := syntax(text); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.Trim(text, " \t\r\n")), nil
}

func fail(rule error, at int) error { return fmt.Errorf("%w, at byte %d", rule, at) }

// invalidUTF8 is the place of the first byte that is no UTF-8, -1 when there is none.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}

// scan checks what encoding/json does not: the depth and what escapes stand for. It runs before the syntax is known to
// be right, so it has to bear any text.
func scan(text []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			length, err := escape(text[i:])
			if err != nil {
				return fail(err, i)
			}
			i += length - 1
		case inString:
		case c == '{', c == '[':
			depth++
			if depth > DepthMax {
				return fail(ErrDepth, i)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return nil
}

// escape checks the escape at the beginning of text and gives its length; a surrogate pair is one escape.
func escape(text []byte) (int, error) {
	unit, ok := unicodeEscape(text)
	switch {
	case !ok:
		return 2, nil
	case unit == 0:
		return 0, ErrNUL
	case !utf16.IsSurrogate(unit):
		return 6, nil
	}
	if low, ok := unicodeEscape(text[6:]); !ok || utf16.DecodeRune(unit, low) == unicode.ReplacementChar {
		return 0, ErrSurrogate
	}
	return 12, nil
}

// unicodeEscape reads an escape of the form \uXXXX; ok is false for every other text.
func unicodeEscape(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

func syntax(text []byte) error {
	var value json.RawMessage
	err := json.Unmarshal(text, &value)
	if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
		return fail(ErrSyntax, int(wrong.Offset))
	}
	return err
}

// Package strictjson reads JSON that strangers wrote, by rules that leave no room for two readings:
//
//   - one value and nothing behind it, at most DepthMax levels deep;
//   - valid UTF-8;
//   - an escape of U+0000 or of half a surrogate pair becomes that of U+FFFD in a string value; in a name it is rejected,
//     where encoding/json would make one name of two;
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

const whiteSpace = " \t\r\n"

// Read checks a text by the rules and returns its value without the white space around it. The result shares the text's
// memory unless an escape was replaced.
func Read(text []byte) (json.RawMessage, error) {
	text = WithoutBOM(text)
	if len(bytes.TrimLeft(text, whiteSpace)) == 0 {
		return nil, ErrEmpty
	}
	if at := invalidUTF8(text); at >= 0 {
		return nil, fail(ErrUTF8, at)
	}
	text, err := scan(text)
	if err != nil {
		return nil, err
	}
	if err := syntax(text); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.Trim(text, whiteSpace)), nil
}

func fail(rule error, at int) error { return fmt.Errorf("%w, at byte %d", rule, at) }

// invalidUTF8 returns the place of the first byte that is not UTF-8, -1 when there is none.
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

func syntax(text []byte) error {
	var value json.RawMessage
	err := json.Unmarshal(text, &value)
	if wrong := (*json.SyntaxError)(nil); errors.As(err, &wrong) {
		return fail(ErrSyntax, int(wrong.Offset))
	}
	return err
}

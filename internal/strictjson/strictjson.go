// Package strictjson reads JSON that strangers wrote, by rules that leave no room for two readings:
//
//   - one value and nothing behind it, at most DepthMax levels deep;
//   - valid UTF-8;
//   - an escape of U+0000 or of half a surrogate pair becomes that of U+FFFD in a string value; in a name it is rejected,
//     where encoding/json would make one name of two;
//   - numbers stay the text they are, however large;
//   - names of members are compared exactly; of two members with one name the last counts, or the text is rejected, as the
//     caller chooses (Duplicates);
//   - a byte order mark at the beginning is ignored, as RFC 8259 allows.
//
// Read and ReadObject take a whole text; a Scanner is for a caller that decides about each member. Reading never recurses
// deeper than DepthMax. Errors return which rule was broken and at which byte, and never quote the text.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// DepthMax is how many objects and arrays may be open inside each other. Go's own decoder allows 10,000, which costs stack
// in every program that reads the text afterwards.
const DepthMax = 64

const whiteSpace = " \t\r\n"

// Read checks a text by the rules, DuplicatesLast among them, and returns its value without the white space around it. The
// result shares the text's memory unless an escape was replaced.
func Read(text []byte) (json.RawMessage, error) {
	return read(text, (*Scanner).Skip)
}

// read reads the one value of a text with a function.
func read(text []byte, value func(*Scanner) error) (json.RawMessage, error) {
	if len(bytes.TrimLeft(WithoutBOM(text), whiteSpace)) == 0 {
		return nil, ErrEmpty
	}
	if !utf8.Valid(text) {
		return nil, fail(ErrUTF8, validPrefix(text))
	}
	s := NewScanner(text, DuplicatesLast)
	start := s.Pos()
	err := value(s)
	result := s.Since(start)
	if err == nil {
		err = s.End("the value")
	}
	if wrong, ok := errors.AsType[*SyntaxError](err); ok {
		return nil, fail(wrong.Rule, wrong.At)
	}
	return result, err
}

func fail(rule error, at int) error { return fmt.Errorf("%w, at byte %d", rule, at) }

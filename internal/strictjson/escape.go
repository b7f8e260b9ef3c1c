package strictjson

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// replacement is the escape of U+FFFD. In the string values of events and answers it takes the place of each escape of
// U+0000 and of half a surrogate pair, which no program behind hookturn can store or show. It is as long as what it
// replaces, so the places of everything else stay as they are.
const replacement = `\ufffd`

var byteOrderMark = []byte("\uFEFF")

// WithoutBOM returns text without a leading UTF-8 byte order mark.
func WithoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, byteOrderMark) }

// escapeAt returns the length of the escape sequence at the beginning of text; a surrogate pair is one sequence. The error
// is ErrNUL or ErrSurrogate for a sequence that replacement can take the place of, and ErrSyntax for one that JSON does not
// have.
func escapeAt(text []byte) (length int, err error) {
	if len(text) > 1 && strings.IndexByte(`"\/bfnrt`, text[1]) >= 0 {
		return 2, nil
	}
	unit, ok := unicodeEscape(text)
	switch {
	case !ok:
		return 0, ErrSyntax
	case unit == 0:
		return len(replacement), ErrNUL
	case !utf16.IsSurrogate(unit):
		return len(replacement), nil
	}
	if low, ok := unicodeEscape(text[len(replacement):]); !ok || utf16.DecodeRune(unit, low) == unicode.ReplacementChar {
		return len(replacement), ErrSurrogate
	}
	return 2 * len(replacement), nil
}

// unicodeEscape returns the code unit of an escape of the form \uXXXX; ok is false for every other text.
func unicodeEscape(text []byte) (unit rune, ok bool) {
	if len(text) < len(replacement) || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:len(replacement)]), 16, 16)
	return rune(n), err == nil
}

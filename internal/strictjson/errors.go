package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The rules that a text can break. Read returns all but ErrEmpty and ErrNotObject with the byte at which it happened.
var (
	ErrDepth     = fmt.Errorf("objects and arrays nest deeper than %d levels", DepthMax)
	ErrDuplicate = errors.New("the member occurs twice in one object")
	ErrEmpty     = errors.New("there is no text")
	ErrNotObject = errors.New("the JSON is not an object")
	ErrNUL       = errors.New("there is a U+0000")
	ErrSurrogate = errors.New("half of a surrogate pair stands alone")
	ErrSyntax    = errors.New("not one well-formed JSON value")
	ErrUTF8      = errors.New("the text is not UTF-8")
)

// SyntaxError is the rule that a text breaks, and the byte at which a developer finds it, also as line and column.
type SyntaxError struct {
	Rule             error
	At, Line, Column int
	Detail           string // never holds a part of the text
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("has bad JSON at byte %d (line %d, column %d): %s", e.At, e.Line, e.Column, e.Detail)
}

func (e *SyntaxError) Unwrap() error { return e.Rule }

// Error is an error and its place in a document.
type Error struct {
	Pointer string // JSON pointer (RFC 6901) to the offending value
	Err     error
}

func (e *Error) Error() string { return e.Pointer + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Under moves an error one level down: what was found at "/x" inside the member name is wrong at "/name/x".
func Under(name string, err error) error {
	if err == nil {
		return nil
	}
	step := "/" + pointerEscaper.Replace(name)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Pointer = step + e.Pointer
		return e
	}
	return &Error{Pointer: step, Err: err}
}

func underIndex(i int, err error) error { return Under(strconv.Itoa(i), err) }

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

func (s *Scanner) fail(rule error, at int, detail string) error {
	at = min(at, len(s.raw))
	before := s.raw[:at]
	return &SyntaxError{
		Rule: rule, At: at, Detail: detail,
		Line:   1 + bytes.Count(before, []byte{'\n'}),
		Column: 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]),
	}
}

func (s *Scanner) syntax(at int, detail string) error { return s.fail(ErrSyntax, at, detail) }

// WrongType returns the error of a value that is of another type than what; of a text that is not a value at all, that
// error.
func (s *Scanner) WrongType(what string) error {
	kinds := map[byte]string{
		'{': "an object", '[': "an array", '"': "a string", 't': "a boolean", 'f': "a boolean", 'n': "null", '-': "a number",
	}
	kind := kinds[s.Peek()]
	if isDigit(s.Peek()) {
		kind = "a number"
	}
	if err := s.Skip(); err != nil || kind == "" {
		return err
	}
	return fmt.Errorf("must be %s, not %s", what, kind)
}

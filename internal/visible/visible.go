// Package visible writes text of other parties so that a terminal shows it and does not obey it.
//
// A terminal obeys control characters: those below U+0020, DEL, and U+0080 to U+009F, of which U+009B begins a sequence as
// ESC [ does. Format characters (category Cf of Unicode) have no width, or turn the direction of what follows, so that text
// reads differently from what it is. JSON allows both within its strings. They are written as \u00xx: within a JSON document
// the value stays the same.
package visible

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// hidden reports whether a character is written as an escape. Ends of lines and tabs are not.
func hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', r >= 0x7f && r <= 0x9f, r == '\u2028', r == '\u2029':
		return true
	}
	return r > 0x9f && unicode.Is(unicode.Cf, r)
}

// Text returns UTF-8 text, or JSON, with its control and format characters as \u00xx, two of them (a surrogate pair, RFC
// 8259) for one above U+FFFF. Bytes that are not UTF-8 become \ufffd. Text without such characters is returned as it is.
func Text(text []byte) []byte {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if hidden(r) || r == utf8.RuneError && size == 1 {
			return escape(text, at)
		}
		at += size
	}
	return text
}

// escape returns a copy of a text, of which everything before at is visible.
func escape(text []byte, at int) []byte {
	out := append(make([]byte, 0, len(text)+64), text[:at]...)
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case !hidden(r):
			out = append(out, text[at:at+size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		at += size
	}
	return out
}

// Writer writes text to another writer as Text returns it. It is safe for concurrent use.
type Writer struct {
	mu   sync.Mutex
	to   io.Writer
	held []byte // the beginning of a character whose end has not been written
}

// NewWriter returns a new writer. A program that ends calls Flush.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Write writes text. The beginning of a character at the end of the text is kept until the next call.
func (w *Writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := text
	if len(w.held) > 0 {
		whole = slices.Concat(w.held, text)
	}
	end := len(whole) - partial(whole)
	w.held = slices.Clone(whole[end:])
	if _, err := w.to.Write(Text(whole[:end])); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Flush writes what is kept of an unfinished character.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.held
	w.held = nil
	if len(rest) == 0 {
		return nil
	}
	_, err := w.to.Write(Text(rest))
	return err
}

// Unwrap returns the writer below, of which a program may want to know whether it is a terminal.
func (w *Writer) Unwrap() io.Writer { return w.to }

// partial returns the number of bytes at the end of a text that begin a character and do not end it.
func partial(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if rest := text[len(text)-n:]; utf8.RuneStart(rest[0]) {
			if utf8.FullRune(rest) {
				return 0
			}
			return n
		}
	}
	return 0
}

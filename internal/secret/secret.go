// Package secret holds values that must not be printed, and resolves the references to them in bot files.
//
// fmt, encoding/json, goccy/go-yaml and log/slog print a Value as "<secret>". Only Reveal returns its text, so that a search
// for Reveal finds every use of a secret.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is the printed form of a Value.
const Redacted = "<secret>"

// Value is one secret text. The zero Value is an empty secret.
//
// The text is behind a pointer, because fmt cannot call the methods of a Value in an unexported field: there it prints
// an address instead.
type Value struct{ text *string }

// New returns a Value with a text.
func New(text string) Value { return Value{text: &text} }

// Reveal returns the text. Call it only where the secret is used.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero reports whether the secret is empty.
func (v Value) IsZero() bool { return v.Reveal() == "" }

func (Value) String() string { return Redacted }

// Format implements fmt.Formatter, so that no verb prints the text.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText implements encoding.TextMarshaler, so that JSON and YAML do not contain the text.
func (Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer, so that logs do not contain the text.
func (Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// Package secret holds values that must not be printed, and resolves the references by which bot files name them.
//
// A Value shows itself as "<secret>" to fmt, encoding/json, goccy/go-yaml and log/slog; the one way to its text is
// Reveal, so a reader can list every place that uses a secret by searching for that word.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a Value shows of itself.
const Redacted = "<secret>"

// Value is one secret text. The zero Value is an empty secret.
//
// The text is behind a pointer, because fmt cannot call the methods of a Value in an unexported field: there it prints
// an address instead.
type Value struct{ text *string }

// New hides a text.
func New(text string) Value { return Value{text: &text} }

// Reveal gives the text. Call it where the secret is used and nowhere else.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero says whether the secret is empty.
func (v Value) IsZero() bool { return v.Reveal() == "" }

func (Value) String() string { return Redacted }

// Format keeps every verb of fmt from printing the text, also %#v and those that make no sense for a text.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText keeps JSON and YAML from writing the text.
func (Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue keeps slog from logging the text.
func (Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

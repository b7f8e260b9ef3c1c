package cli

import (
	"errors"
	"time"
)

// when is a time on the command line: a moment of RFC 3339, or how long ago.
type when struct {
	time.Time

	text string
}

// String returns the value of the flag.
func (w *when) String() string { return w.text }

// Set sets the value of the flag.
func (w *when) Set(text string) error {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		w.Time, w.text = time.Now().Add(-ago), text
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("expected a time ago such as 1h30m, or a moment such as 2026-11-28T12:00:00Z")
	}
	w.Time, w.text = at, text
	return nil
}

// Type returns what the flag's help shows as its value.
func (w *when) Type() string { return "time" }

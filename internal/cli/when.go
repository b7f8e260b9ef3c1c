package cli

import (
	"time"

	"github.com/hookturn/hookturn/internal/inspect"
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
	at, err := inspect.ParseTime(text, time.Now())
	if err != nil {
		return err
	}
	w.Time, w.text = at, text
	return nil
}

// Type returns what the flag's help shows as its value.
func (w *when) Type() string { return "time" }

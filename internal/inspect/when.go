package inspect

import (
	"errors"
	"time"
)

// ParseTime reads the time of a filter: a moment of RFC 3339, or how long before now.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, errors.New("expected a time ago such as 1h30m, or a moment such as 2026-11-28T12:00:00Z")
	}
	return at, nil
}

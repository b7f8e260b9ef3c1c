package schemas

import (
	"strings"
	"time"
)

// parseTime parses a date and time in every form of RFC 3339: T and Z in either case, any number of digits in the fraction,
// and a leap second at the end of a day in UTC, which is read as the second after it, for Go has none.
func parseTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	if !isTimeForm(text) {
		return time.Time{}, false
	}
	leap := text[secondAt:secondAt+2] == "60"
	if leap {
		text = text[:secondAt] + "59" + text[secondAt+2:]
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, false
	}
	if leap {
		if utc := at.UTC(); utc.Hour() != 23 || utc.Minute() != 59 {
			return time.Time{}, false
		}
		at = at.Add(time.Second)
	}
	return at, at.Year() <= yearMax
}

const (
	secondAt = len("0000-00-00T00:00:") // where the seconds are
	yearMax  = 9999                     // later ones have no form in RFC 3339
)

// isTimeForm checks what time.Parse is lenient about in RFC 3339: hours of one digit, a comma before the fraction,
// offsets of a day and more. Letters are in upper case.
func isTimeForm(s string) bool {
	const form = "0000-00-00T00:00:00"
	if len(s) < len(form) || !hasForm(s[:len(form)], form) {
		return false
	}
	zone := s[len(form):]
	if strings.HasPrefix(zone, ".") {
		zone = strings.TrimLeft(zone[1:], "0123456789")
	}
	return zone == "Z" || hasForm(zone, "+00:00") && zone[1:3] <= "23" && zone[4:] <= "59"
}

// hasForm reports whether s has a digit wherever form has one, a sign for its sign and is equal elsewhere.
func hasForm(s, form string) bool {
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		switch form[i] {
		case '0':
			if !isDigit(s[i]) {
				return false
			}
		case '+':
			if s[i] != '+' && s[i] != '-' {
				return false
			}
		default:
			if s[i] != form[i] {
				return false
			}
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

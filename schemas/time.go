package schemas

import "strings"

// isTimeForm checks what time.Parse is lenient about in RFC 3339: hours of one digit, a comma before the fraction,
// offsets of a day and more.
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

// hasForm says whether s has a digit wherever form has one, a sign for its sign and is equal elsewhere.
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

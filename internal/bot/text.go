package bot

import (
	"regexp"
	"strings"
)

// controlIn returns the name of the first control character of a text that no bot file may contain, or "". Tabs and line
// ends are allowed: messages, templates and programs have them.
func controlIn(text string) string {
	for _, r := range text {
		switch {
		case r == 0:
			return "a NUL character"
		case r < ' ' && !strings.ContainsRune("\t\n\r", r), r == 0x7f:
			return "a control character"
		}
	}
	return ""
}

// text checks a string of the file, whatever it is used for.
func (d *document) text(path, text string) bool {
	if what := controlIn(text); what != "" {
		d.problem(path, "contains %s", what)
		return false
	}
	return true
}

// Numbers are decimal and have no leading zeros: YAML 1.1 reads 010 as eight, YAML 1.2 as ten.
var (
	wholeNumber = regexp.MustCompile(`^[-+]?(0|[1-9]\d*)$`)
	anyNumber   = regexp.MustCompile(`^[-+]?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?$`)
)

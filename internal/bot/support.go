package bot

import (
	"path"
	"strings"
)

// unsupported are the keys that the contract lets a bot file use and that this version cannot serve yet. Such a key is a
// problem, because a step that silently did less than its file says would be worse than none. A release that learns one
// removes its line. * stands for one plain key.
func unsupported() []string { return []string{"$.channels", "$.scripts"} }

func (d *document) checkSupport() {
	for at := range d.places {
		for _, key := range unsupported() {
			if matches(key, at) {
				d.problem(at, "is not supported by this version")
			}
		}
	}
}

// matches says whether a key path has the form of a pattern.
func matches(pattern, at string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, ".", "/"), strings.ReplaceAll(at, ".", "/"))
	return ok && err == nil
}

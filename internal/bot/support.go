package bot

import (
	"path"
	"strings"
)

// unsupported is what the contract lets a bot file say and this version cannot do yet. Such a key is a problem, because
// a step that silently did less than its file says would be worse than none. A release that learns one removes its
// line.
func unsupported() []feature {
	dialects := []string{DialectLoyJoy, DialectTwoWay, DialectChannel, DialectPlain}
	return []feature{
		{key: "$.adapters"},
		{key: "$.channels"},
		{key: "$.scripts"},
		{key: "$.dialect", values: dialects},
		{key: "$.steps.*.code"},
		{key: "$.steps.*.webhook.dialect", values: dialects},
		{key: "$.steps.*.webhook.late_answer", values: []string{LateAnswerPublish}},
		{key: "$.steps.*.webhook.mode", values: []string{ModeBackground}},
		{key: "$.steps.*.webhook.progress_after"},
	}
}

// feature is a key, and which of its values are meant; no values means any.
type feature struct {
	key    string
	values []string
}

func (d *document) checkSupport() {
	features := unsupported()
	for at := range d.places {
		for _, f := range features {
			if !matches(f.key, at) {
				continue
			}
			if len(f.values) == 0 {
				d.problem(at, "is not supported by this version")
			}
			for _, value := range f.values {
				if d.texts[at] == value {
					d.problem(at, "%s is not supported by this version", value)
				}
			}
		}
	}
}

// matches says whether a key path has the form of a pattern, in which * stands for one plain key.
func matches(pattern, at string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, ".", "/"), strings.ReplaceAll(at, ".", "/"))
	return ok && err == nil
}

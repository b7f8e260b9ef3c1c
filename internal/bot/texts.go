package bot

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Texts is one text in several languages: BCP 47 tag, or "default", to text.
type Texts map[string]string

// For returns the text for a language: that of the whole tag, then of its leading subtags ("hi" for "hi-IN"), then
// "default", then "". Tags are compared without regard to case, and "_" is taken as "-".
func (t Texts) For(language string) string {
	tags := make([]string, 0, len(t))
	//workflowcheck:ignore they are sorted
	for tag := range t {
		tags = append(tags, tag)
	}
	slices.Sort(tags) // a fixed order: workflow code calls this
	known, longest := make(map[string]string, len(tags)), 0
	for _, written := range tags {
		tag := normalTag(written)
		if _, twice := known[tag]; !twice {
			known[tag] = written
		}
		longest = max(longest, len(tag))
	}
	for tag := normalTag(language); tag != ""; tag = tag[:max(0, strings.LastIndexByte(tag, '-'))] {
		if len(tag) > longest {
			continue // an event can have a language of a megabyte
		}
		if written, ok := known[tag]; ok {
			return t[written]
		}
	}
	return t["default"]
}

// normalTag is the form in which language tags are compared.
func normalTag(tag string) string { return strings.ReplaceAll(strings.ToLower(tag), "_", "-") }

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$`)

// checkTexts checks texts that users read.
func (c *checker) checkTexts(path string, texts Texts) {
	if !c.has(path) || texts == nil {
		return
	}
	if !c.has(member(path, "default")) {
		c.problem(path, "has no text under the key default")
	}
	first := map[string]string{}
	for _, language := range slices.Sorted(maps.Keys(texts)) {
		at, tag := member(path, language), normalTag(language)
		switch other, twice := first[tag]; {
		case !languageTag.MatchString(language): // "default" has the form of a tag
			c.problem(at, "is not a language tag such as hi or pt-BR")
		case twice:
			c.problem(at, "is the same language as %s", other)
		case tag == "default" && language != "default":
			c.problem(at, "is not a language tag: write default in lower case")
		case strings.TrimSpace(texts[language]) == "":
			c.problem(at, "is empty")
		}
		first[tag] = language
	}
}

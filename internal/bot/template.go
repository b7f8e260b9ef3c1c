package bot

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Template is the body of a TwoWay handover notification, with variables in it: $name or {{$name}}. A value stands inside
// the quotes that the template puts around it; $context stands for JSON and has none.
type Template struct{ parts []part }

// part is a text, or a variable when it has a name.
type part struct{ text, name string }

// contextVariable is the one whose value is JSON.
const contextVariable = "context"

// templateVariables are those of the vendor's page (reference: CM.com, custom integration).
var templateVariables = []string{
	"chatId", "sessionId", "accountId", "channel", "conversationHostId", "conversationClientId", contextVariable,
}

// DefaultTemplate is the vendor's own.
const DefaultTemplate = `{"chatId":"{{$chatId}}","sessionId":"{{$sessionId}}","accountId":"{{$accountId}}",` +
	`"channel":"{{$channel}}","conversationHostId":"{{$conversationHostId}}",` +
	`"conversationClientId":"{{$conversationClientId}}","context":{{$context}}}`

// variable finds {{$name}}, {{$name without its end, and $name. A $ without a name after it is text.
var variable = regexp.MustCompile(`\{\{\s*\$([A-Za-z]+)\s*(\}\})?|\$([A-Za-z]+)`)

// ParseTemplate reads a template. An unknown variable, an open {{ and a template that makes no JSON are errors; the first
// two say at which line and column of the template.
func ParseTemplate(text string) (Template, error) {
	var t Template
	at := 0
	for _, m := range variable.FindAllStringSubmatchIndex(text, -1) {
		braces, group := m[2] >= 0, 3
		if braces {
			group = 1
		}
		name := text[m[2*group]:m[2*group+1]]
		switch {
		case braces && m[4] < 0:
			return Template{}, fmt.Errorf("%s: {{$%s is not closed by }}", lineAndColumn(text, m[0]), name)
		case !slices.Contains(templateVariables, name):
			return Template{}, fmt.Errorf("%s: $%s is unknown: want one of $%s", lineAndColumn(text, m[0]), name,
				strings.Join(templateVariables, ", $"))
		}
		t.parts = append(t.parts, part{text: text[at:m[0]]}, part{name: name})
		at = m[1]
	}
	t.parts = append(t.parts, part{text: text[at:]})
	if !json.Valid([]byte(t.Expand(nil, nil))) {
		return Template{}, fmt.Errorf("makes no JSON: put quotes around every variable but $%s", contextVariable)
	}
	return t, nil
}

// Expand puts values into the template, escaped for the inside of a JSON string; context is inserted as it is, {} when there
// is none.
func (t Template) Expand(values map[string]string, context json.RawMessage) string {
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case p.name == contextVariable && len(context) == 0:
			b.WriteString("{}")
		case p.name == contextVariable:
			b.Write(context)
		default:
			b.WriteString(insideQuotes(values[p.name]))
		}
	}
	return b.String()
}

func insideQuotes(text string) string {
	quoted, err := json.Marshal(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return "" // a string always marshals
	}
	return string(quoted[1 : len(quoted)-1])
}

// lineAndColumn says where an offset of a text is, both from 1.
func lineAndColumn(text string, offset int) string {
	before := text[:offset]
	return fmt.Sprintf("line %d, column %d", 1+strings.Count(before, "\n"), offset-strings.LastIndex(before, "\n"))
}

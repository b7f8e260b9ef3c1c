package bot

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/nearest"
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

// ParseTemplate reads a template. An unknown variable, an open {{ and a template that does not expand to JSON are errors;
// the first two name the line and column of the template.
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
			return Template{}, fmt.Errorf("%s: $%s is unknown: want one of $%s%s", lineAndColumn(text, m[0]), name,
				strings.Join(templateVariables, ", $"), nearest.Hint(name, templateVariables))
		}
		t.parts = append(t.parts, part{text: text[at:m[0]]}, part{name: name})
		at = m[1]
	}
	t.parts = append(t.parts, part{text: text[at:]})
	if err := t.check(); err != nil {
		return Template{}, err
	}
	return t, nil
}

// Bounds of a template: each use of a variable is one copy of its value, and a context may have a megabyte.
const (
	templateVariablesMax = 100
	templateContextsMax  = 4
)

// check expands the template with values that show where a variable stands: a text with a quote in it is valid JSON
// inside of quotes only, an object outside of them only.
func (t Template) check() error {
	variables, contexts := 0, 0
	quotes := map[string]string{}
	for _, p := range t.parts {
		switch p.name {
		case "":
		case contextVariable:
			contexts++
		default:
			variables++
			quotes[p.name] = `a "quoted" \ text`
		}
	}
	switch {
	case variables > templateVariablesMax:
		return fmt.Errorf("has %d variables: at most %d are allowed", variables, templateVariablesMax)
	case contexts > templateContextsMax:
		return fmt.Errorf("has $%s %d times: at most %d are allowed", contextVariable, contexts, templateContextsMax)
	}
	for _, context := range []string{"", `{"a":"b"}`} {
		for _, values := range []map[string]string{nil, quotes} {
			if !json.Valid([]byte(t.Expand(values, json.RawMessage(context)))) {
				return fmt.Errorf("is not a JSON template: put quotes around every variable but $%s, and none around $%[1]s",
					contextVariable)
			}
		}
	}
	return nil
}

// Expand returns the template with values, escaped for JSON strings. The context is inserted without escapes, or {} when it
// is empty.
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

// lineAndColumn returns the line and column of an offset, both from 1.
func lineAndColumn(text string, offset int) string {
	before := text[:offset]
	return fmt.Sprintf("line %d, column %d", 1+strings.Count(before, "\n"), offset-strings.LastIndex(before, "\n"))
}

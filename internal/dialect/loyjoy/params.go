package loyjoy

import (
	"encoding/json"
	"maps"
	"regexp"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// params are the conversation's with the event's and then the configured ones on top. Only configured ones hold
// expressions: the others come from a browser, and what a browser sends is never evaluated.
func params(c dialect.Context) map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(c.Params)+len(c.Event.Data.Params)+len(c.Plan.Webhook.Params))
	maps.Copy(all, c.Params)
	maps.Copy(all, c.Event.Data.Params)
	for name, value := range c.Plan.Webhook.Params {
		all[name] = evaluate(value, c.Variables)
	}
	return all
}

// expression is ${variable}.
var expression = regexp.MustCompile(`\$\{([^{}]*)\}`)

// evaluate puts the values of variables into every string of a configured param; a variable that is not set is "".
func evaluate(param json.RawMessage, variables map[string]string) json.RawMessage {
	if !expression.Match(param) {
		return param
	}
	value, err := strictjson.Decode(param)
	if err != nil {
		return param // it came from YAML and was written by us: this does not happen
	}
	text, err := strictjson.Encode(expand(value, variables))
	if err != nil {
		return param
	}
	return text
}

func expand(value any, variables map[string]string) any {
	switch v := value.(type) {
	case string:
		return expression.ReplaceAllStringFunc(v, func(found string) string { return variables[found[2:len(found)-1]] })
	case []any:
		for i := range v {
			v[i] = expand(v[i], variables)
		}
	case map[string]any:
		for name := range v {
			v[name] = expand(v[name], variables)
		}
	}
	return value
}

package bot

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// anyJSON is a value of any type, kept as JSON.
type anyJSON json.RawMessage

func (j *anyJSON) decodeNode(d *document, path string, n ast.Node) bool {
	value, ok := d.jsonOf(path, n)
	if !ok {
		return false
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return d.wrongType(path, "a value that JSON can hold", n)
	}
	*j = bytes.TrimSpace(text.Bytes())
	return true
}

// jsonOf is a YAML value as encoding/json takes it. Numbers must be finite; octal and hexadecimal ones are refused, as no
// reader could tell what they become.
func (d *document) jsonOf(path string, n ast.Node) (any, bool) {
	if _, null := n.(*ast.NullNode); null {
		return nil, true
	}
	n, ok := d.resolve(path, n)
	if !ok || !d.enter(path, n) {
		return nil, false
	}
	defer d.leave()
	if text, isString := stringOf(n); isString {
		if isJSONNumber(n) {
			return d.jsonNumber(path, text)
		}
		return text, d.text(path, text)
	}
	switch v := n.(type) {
	case *ast.BoolNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return d.jsonNumber(path, v.GetToken().Value)
	case *ast.SequenceNode:
		return d.jsonArray(path, v)
	case ast.MapNode:
		return d.jsonObject(path, n)
	}
	return nil, d.wrongType(path, "a value that JSON can hold", n)
}

// isJSONNumber reports whether a node is a number of JSON that the parser of YAML takes for a string: one that is larger
// than 64 bits, or has an exponent without a fraction.
func isJSONNumber(n ast.Node) bool {
	plain, isString := n.(*ast.StringNode)
	return isString && plain.GetToken().Type == token.StringType && json.Valid([]byte(plain.Value)) &&
		strings.Trim(plain.Value, "-0123456789.eE+") == ""
}

func (d *document) jsonNumber(path, text string) (any, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || !json.Valid([]byte(text)) {
		d.problem(path, "want a number in decimal digits, as JSON spells it")
		return nil, false
	}
	return json.Number(text), true
}

func (d *document) jsonArray(path string, n *ast.SequenceNode) (any, bool) {
	list, whole := []any{}, true
	for i, value := range n.Values {
		if !d.spell(path, "[12345]") {
			break
		}
		at := item(path, i)
		d.places[at] = placeOf(nil, value)
		element, ok := d.jsonOf(at, value)
		list, whole = append(list, element), whole && ok
	}
	return list, whole
}

func (d *document) jsonObject(path string, n ast.Node) (any, bool) {
	object, whole := map[string]any{}, true
	ok := d.entries(path, n, func(path, key string, _ *token.Token, value ast.Node) {
		element, ok := d.jsonOf(path, value)
		object[key], whole = element, whole && ok
	})
	return object, ok && whole
}

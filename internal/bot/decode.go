package bot

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// nodeDecoder is a type with its own decoding, because it allows more than one form.
type nodeDecoder interface {
	decodeNode(d *document, path string, n ast.Node) bool
}

// decode reads a node into a value by the value's type. A wrong type, an unknown key and a duplicate key are problems. It
// continues after a problem, to report all of them, and reports whether the value was set.
func (d *document) decode(path string, n ast.Node, into reflect.Value) bool {
	n, ok := d.resolve(path, n)
	if !ok || !d.enter(path, n) {
		return false
	}
	defer d.leave()
	switch v := into.Addr().Interface().(type) {
	case nodeDecoder:
		return v.decodeNode(d, path, n)
	case *Duration:
		return d.decodeDuration(path, n, v)
	}
	switch into.Kind() {
	case reflect.Pointer:
		value := reflect.New(into.Type().Elem())
		if !d.decode(path, n, value.Elem()) {
			return false
		}
		into.Set(value)
		return true
	case reflect.Struct:
		return d.decodeStruct(path, n, into)
	case reflect.Map:
		return d.decodeMap(path, n, into)
	case reflect.Slice:
		return d.decodeSlice(path, n, into)
	}
	return d.decodeScalar(path, n, into)
}

// resolve follows anchors and aliases to the node that is meant. A chain of them ends: an alias of an alias is a problem.
func (d *document) resolve(path string, n ast.Node) (ast.Node, bool) {
	switch v := n.(type) {
	case *ast.AnchorNode:
		// Known only once its value has been read would be right for YAML; known now is simpler, and the bound on what a
		// file expands to ends a value that refers to itself.
		d.anchors[v.Name.GetToken().Value] = v.Value
		return d.resolve(path, v.Value)
	case *ast.AliasNode:
		target, ok := d.anchors[v.Value.GetToken().Value]
		if !ok {
			d.problem(path, "refers to an anchor that does not stand before it")
			return nil, false
		}
		if _, again := target.(*ast.AliasNode); again {
			d.problem(path, "refers to an alias")
			return nil, false
		}
		return d.resolve(path, target)
	case *ast.TagNode:
		d.problem(path, "tags such as %s are not supported", quote(v.GetToken().Value))
		return nil, false
	case nil, *ast.NullNode:
		d.problem(path, "has no value: give one or remove the key")
		return nil, false
	}
	return n, true
}

// visitor receives the path, the name and the token of a key, and its value.
type visitor func(path, key string, at *token.Token, value ast.Node)

// entries calls visit with the path and value of each key of a mapping, in the file's order and each key once.
func (d *document) entries(path string, n ast.Node, visit visitor) bool {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		return d.wrongType(path, "a mapping", n)
	}
	lines := map[string]int{}
	for it := mapping.MapRange(); it.Next() && !d.expanded.exceeded; {
		at := it.Key().GetToken()
		key, ok := keyText(it.Key())
		if !ok {
			d.problemAt(at, path, "has a key that is not plain text")
			continue
		}
		if !d.spell(path, key) {
			break
		}
		keyPath := member(path, key)
		if what := controlIn(key); what != "" {
			d.problemAt(at, keyPath, "contains %s", what)
			continue
		}
		if first, twice := lines[key]; twice {
			d.problemAt(at, keyPath, "duplicate key: it is also on line %d", first)
			continue
		}
		lines[key] = at.Position.Line
		d.places[keyPath] = placeOf(at, it.Value())
		visit(keyPath, key, at, it.Value())
	}
	return true
}

func (d *document) decodeStruct(path string, n ast.Node, into reflect.Value) bool {
	return d.decodeMembers(path, n, into, func(ast.Node) bool { return false })
}

// decodeMembers is decodeStruct for an object whose members with an absent value count as not written.
func (d *document) decodeMembers(path string, n ast.Node, into reflect.Value, absent func(ast.Node) bool) bool {
	fields := map[string]int{}
	for i := range into.NumField() {
		fields[into.Type().Field(i).Tag.Get("yaml")] = i
	}
	return d.entries(path, n, func(path, key string, at *token.Token, value ast.Node) {
		if i, known := fields[key]; known {
			if absent(value) {
				delete(d.places, path)
				return
			}
			d.decode(path, value, into.Field(i))
			return
		}
		d.problemAt(at, path, "unknown key%s", d.hint(key, sortedKeys(fields)))
	})
}

// sortedKeys returns the function that lists the keys of a map in their order.
func sortedKeys[V any](m map[string]V) func() []string {
	return func() []string { return slices.Sorted(maps.Keys(m)) }
}

func (d *document) decodeMap(path string, n ast.Node, into reflect.Value) bool {
	m := reflect.MakeMap(into.Type())
	ok := d.entries(path, n, func(path, key string, _ *token.Token, value ast.Node) {
		element := reflect.New(into.Type().Elem()).Elem()
		if d.decode(path, value, element) {
			m.SetMapIndex(reflect.ValueOf(key), element)
		}
	})
	if ok {
		into.Set(m)
	}
	return ok
}

func (d *document) decodeSlice(path string, n ast.Node, into reflect.Value) bool {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.wrongType(path, "a list", n)
	}
	list := reflect.MakeSlice(into.Type(), 0, 0)
	for i, value := range sequence.Values {
		if !d.spell(path, "[12345]") {
			break
		}
		itemPath := item(path, i)
		d.places[itemPath] = placeOf(nil, value)
		element := reflect.New(into.Type().Elem()).Elem()
		if d.decode(itemPath, value, element) {
			list = reflect.Append(list, element)
		}
	}
	into.Set(list)
	return true
}

func (d *document) decodeScalar(path string, n ast.Node, into reflect.Value) bool {
	switch into.Kind() {
	case reflect.String:
		text, ok := stringOf(n)
		if !ok {
			return d.wrongType(path, "a string", n)
		}
		if !d.text(path, text) {
			return false
		}
		into.SetString(text)
		d.texts[path] = text
	case reflect.Bool:
		v, ok := n.(*ast.BoolNode)
		if !ok {
			return d.wrongType(path, "true or false", n)
		}
		into.SetBool(v.Value)
	case reflect.Int:
		v, ok := n.(*ast.IntegerNode)
		if !ok {
			return d.wrongType(path, "a whole number", n)
		}
		i, err := strconv.Atoi(v.Token.Value)
		if err != nil || !wholeNumber.MatchString(v.Token.Value) {
			d.problem(path, "want a whole number in decimal digits, without leading zeros")
			return false
		}
		into.SetInt(int64(i))
	case reflect.Float64:
		switch n.(type) {
		case *ast.FloatNode, *ast.IntegerNode:
		default:
			return d.wrongType(path, "a number", n)
		}
		f, err := strconv.ParseFloat(n.GetToken().Value, 64)
		if err != nil || !anyNumber.MatchString(n.GetToken().Value) {
			d.problem(path, "want a number in decimal digits, without leading zeros")
			return false
		}
		into.SetFloat(f)
	default:
		panic("bot: no way to decode a " + into.Type().String()) // a mistake in file.go, found by any test of it
	}
	return true
}

func (d *document) decodeDuration(path string, n ast.Node, into *Duration) bool {
	text, isString := stringOf(n)
	v, err := time.ParseDuration(text)
	if !isString || err != nil {
		d.problem(path, "want a duration such as 500ms, 30s or 3h")
		return false
	}
	*into = Duration(v)
	return true
}

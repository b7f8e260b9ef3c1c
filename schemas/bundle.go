package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// bundle returns a YAML document of this package as JSON that refers to nothing outside itself: what it takes from the JSON
// Schemas stands under components.schemas, by the names of the schemas' definitions.
func bundle(file string) ([]byte, error) {
	raw, err := FS.ReadFile(file)
	if err == nil {
		raw, err = yaml.YAMLToJSON(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	document, err := decodeObject(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	b := bundler{own: objectAt(objectAt(document, "components"), "schemas"), from: map[string]any{}, to: map[string]any{}}
	if err := b.walk(document, ""); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", file, err)
	}
	maps.Copy(b.own, b.to)
	return Marshal(document)
}

// bundler collects the definitions that a document refers to.
type bundler struct {
	own  map[string]any // components.schemas of the document
	from map[string]any // definitions as the JSON Schemas have them, by the names in the document
	to   map[string]any // the same with references within the document
}

// walk rewrites every reference below a node; file is the JSON Schema that the node comes from, "" for the document.
func (b *bundler) walk(node any, file string) error {
	var children []any
	switch v := node.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			local, err := b.local(ref, file)
			if err != nil {
				return err
			}
			v["$ref"] = local
		}
		for _, child := range v {
			children = append(children, child)
		}
	case []any:
		children = v
	}
	for _, child := range children {
		if err := b.walk(child, file); err != nil {
			return err
		}
	}
	return nil
}

// local returns the reference within the document that means the same, and collects what it refers to.
func (b *bundler) local(ref, file string) (string, error) {
	other, fragment, _ := strings.Cut(ref, "#")
	switch {
	case other != "":
		file = other
	case file == "": // the document's own
		return ref, nil
	}
	name, definition, err := definitionOf(file, fragment)
	if err != nil {
		return "", fmt.Errorf("%s: %w", ref, err)
	}
	_, taken := b.own[name]
	before, known := b.from[name]
	switch {
	case taken || known && !reflect.DeepEqual(before, definition):
		return "", fmt.Errorf("%s: the document has another schema of this name", ref)
	case !known:
		b.from[name] = definition
		moved, err := clone(definition)
		if err != nil {
			return "", err
		}
		b.to[name] = moved
		if err := b.walk(moved, file); err != nil {
			return "", err
		}
	}
	return "#/components/schemas/" + name, nil
}

// definitionOf finds a definition of a JSON Schema and its name; without a fragment it is the schema itself.
func definitionOf(file, fragment string) (name string, definition map[string]any, err error) {
	raw, err := FS.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	schema, err := decodeObject(raw)
	if err != nil {
		return "", nil, err
	}
	if name, found := strings.CutPrefix(fragment, "/$defs/"); found {
		definition, ok := objectAt(schema, "$defs")[name].(map[string]any)
		if !ok {
			return "", nil, fmt.Errorf("%s has no definition %s", file, name)
		}
		return name, definition, nil
	}
	for _, key := range []string{"$schema", "$id", "$defs"} {
		delete(schema, key)
	}
	return strings.TrimSuffix(strings.TrimPrefix(file, "json/"), ".json"), schema, nil
}

// objectAt returns the object at a key, which is made when it is not there.
func objectAt(parent map[string]any, key string) map[string]any {
	child, ok := parent[key].(map[string]any)
	if !ok {
		child = map[string]any{}
		parent[key] = child
	}
	return child
}

func clone(object map[string]any) (map[string]any, error) {
	raw, err := Marshal(object)
	if err != nil {
		return nil, err
	}
	return decodeObject(raw)
}

// decodeObject reads an object and keeps its numbers as they are written.
func decodeObject(raw []byte) (object map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&object)
	return object, err
}

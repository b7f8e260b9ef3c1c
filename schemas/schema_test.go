package schemas_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// compiled holds every schema, compiled with formats asserted, so that an invalid date is an error here, too.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range schemas.SchemaNames() {
		raw, err := schemas.JSONSchema(name)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := c.AddResource(schemas.BaseURL+name+".json", doc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	out := map[string]*jsonschema.Schema{}
	for _, name := range schemas.SchemaNames() {
		s, err := c.Compile(schemas.BaseURL + name + ".json")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
})

func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	all, err := compiled()
	require.NoError(t, err)
	require.Contains(t, all, name)
	return all[name]
}

// validateJSON judges JSON text by a schema.
func validateJSON(s *jsonschema.Schema, raw []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// validateYAML judges YAML text by a schema.
func validateYAML(s *jsonschema.Schema, raw []byte) error {
	var doc any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return err
	}
	asJSON, err := yaml.MarshalWithOptions(doc, yaml.JSON())
	if err != nil {
		return err
	}
	return validateJSON(s, asJSON)
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	meta, err := jsonschema.NewCompiler().Compile("https://json-schema.org/draft/2020-12/schema")
	require.NoError(t, err)

	entries, err := schemas.FS.ReadDir("json")
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	var want []string
	for _, name := range schemas.SchemaNames() {
		want = append(want, name+".json")
	}
	slices.Sort(want)
	require.Equal(t, want, names, "every file is a schema that SchemaNames lists")

	for _, name := range schemas.SchemaNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := schemas.JSONSchema(name)
			require.NoError(t, err)
			require.NoError(t, validateJSON(meta, raw))
			require.Equal(t, schemas.BaseURL+name+".json", schema(t, name).Location[:len(schemas.BaseURL+name+".json")])
			doc := jsonMap(t, raw)
			require.Equal(t, "https://json-schema.org/draft/2020-12/schema", doc["$schema"])
			require.Equal(t, schemas.BaseURL+name+".json", doc["$id"])
			require.NotEmpty(t, doc["title"])
		})
	}
}

func TestJSONSchema_Unknown(t *testing.T) {
	t.Parallel()
	_, err := schemas.JSONSchema("nothing")
	require.ErrorContains(t, err, `no JSON Schema "nothing"`)
}

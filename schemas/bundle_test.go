package schemas_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// refs are all references below a node.
func refs(node any) []string {
	var found []string
	switch v := node.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			found = append(found, ref)
		}
		for _, child := range v {
			found = append(found, refs(child)...)
		}
	case []any:
		for _, child := range v {
			found = append(found, refs(child)...)
		}
	}
	return found
}

// TestSchemas_Whole holds that every schema can be read alone: it refers to nothing outside itself, uses every definition
// that it has, and means by the names of common.json what common.json means.
func TestSchemas_Whole(t *testing.T) {
	t.Parallel()
	raw, err := schemas.JSONSchema(schemas.SchemaCommon)
	require.NoError(t, err)
	common := at(t, jsonMap(t, raw), "$defs").(map[string]any)
	for _, name := range schemas.SchemaNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := schemas.JSONSchema(name)
			require.NoError(t, err)
			doc := jsonMap(t, raw)
			definitions, used := map[string]any{}, map[string]bool{}
			if doc["$defs"] != nil {
				definitions = doc["$defs"].(map[string]any)
			}
			for _, ref := range refs(doc) {
				requireResolves(t, doc, nil, ref)
				used[strings.TrimPrefix(ref, "#/$defs/")] = true
			}
			for definition, text := range definitions {
				if shared, ok := common[definition]; ok {
					require.Equal(t, shared, text, "%s differs from common.json", definition)
				}
			}
			if name != schemas.SchemaCommon {
				require.Equal(t, slices.Sorted(maps.Keys(definitions)), slices.Sorted(maps.Keys(used)))
			}
		})
	}
}

// out is where TestDocuments_Whole puts the served documents, for tools of other languages (make schemas-check).
var out = flag.String("out", "", "folder for the documents that the gateway serves")

// TestDocuments_Whole holds that the served documents can be read alone, and that references keep their meaning.
func TestDocuments_Whole(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{"asyncapi": schemas.AsyncAPIJSON(), "openapi": schemas.OpenAPI()} {
		if *out != "" {
			require.NoError(t, os.WriteFile(filepath.Join(*out, name+".json"), raw, 0o600))
		}
		doc := jsonMap(t, raw)
		all := refs(doc)
		require.NotEmpty(t, all)
		for _, ref := range all {
			require.True(t, strings.HasPrefix(ref, "#/"), "%s refers to %s", name, ref)
			requireResolves(t, doc, nil, ref)
		}
		step := at(t, doc, "components", "schemas", "stepRequestedEvent")
		require.Equal(t, schemas.TypeStepRequested, at(t, step, "properties", "type", "const"), name)
		require.Equal(t, "#/components/schemas/stepRequested", at(t, step, "properties", "data", "$ref"), name)
	}
	require.Contains(t, string(schemas.AsyncAPIJSON()), `"maximum":9007199254740991`)
}

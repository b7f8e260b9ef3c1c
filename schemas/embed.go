package schemas

import (
	"embed"
	"fmt"
	"sync"

	"github.com/goccy/go-yaml"
)

// FS holds the JSON Schemas, as json/<name>.json, and asyncapi.yaml.
//
//go:embed json/*.json asyncapi.yaml openapi.yaml
var FS embed.FS

// BaseURL is where the schemas' $id are rooted: the schema in json/event.json is BaseURL + "event.json".
const BaseURL = "https://hookturn.dev/schemas/"

// Names of the schemas for JSONSchema.
const (
	SchemaCommon     = "common"
	SchemaEvent      = "event"
	SchemaReply      = "reply"
	SchemaDeadLetter = "deadletter"
	SchemaAdvisory   = "advisory"
	SchemaNotice     = "notice"
	SchemaBotFile    = "botfile"
)

// SchemaNames lists every schema.
func SchemaNames() []string {
	return []string{SchemaCommon, SchemaEvent, SchemaReply, SchemaDeadLetter, SchemaAdvisory, SchemaNotice, SchemaBotFile}
}

// JSONSchema is the text of one JSON Schema (2020-12).
func JSONSchema(name string) ([]byte, error) {
	raw, err := FS.ReadFile("json/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no JSON Schema %q, only %v: %w", name, SchemaNames(), err)
	}
	return raw, nil
}

// AsyncAPI is the text of the AsyncAPI document.
func AsyncAPI() []byte {
	raw, err := FS.ReadFile("asyncapi.yaml")
	if err != nil {
		panic("asyncapi.yaml is embedded, yet cannot be read: " + err.Error())
	}
	return raw
}

// OpenAPI is the OpenAPI 3.1 document of the gateway, as JSON.
func OpenAPI() []byte { return openAPI() }

var openAPI = sync.OnceValue(func() []byte {
	raw, err := FS.ReadFile("openapi.yaml")
	if err == nil {
		raw, err = yaml.YAMLToJSON(raw)
	}
	if err != nil {
		panic("openapi.yaml is embedded, yet cannot be read: " + err.Error())
	}
	return raw
})

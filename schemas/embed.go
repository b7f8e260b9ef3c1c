package schemas

import (
	"embed"
	"fmt"
	"sync"
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
	SchemaAudit      = "audit"
	SchemaBotFile    = "botfile"
)

// SchemaNames lists every schema.
func SchemaNames() []string {
	return []string{SchemaCommon, SchemaEvent, SchemaReply, SchemaDeadLetter, SchemaAdvisory, SchemaNotice, SchemaAudit,
		SchemaBotFile}
}

// JSONSchema is the text of one JSON Schema (2020-12). It refers to nothing outside itself.
func JSONSchema(name string) ([]byte, error) {
	raw, err := FS.ReadFile("json/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no JSON Schema %q, only %v: %w", name, SchemaNames(), err)
	}
	return raw, nil
}

// AsyncAPI is the text of the AsyncAPI document, which refers to the JSON Schemas beside it.
func AsyncAPI() []byte {
	raw, err := FS.ReadFile("asyncapi.yaml")
	if err != nil {
		panic("asyncapi.yaml is embedded, yet cannot be read: " + err.Error())
	}
	return raw
}

// AsyncAPIJSON returns the AsyncAPI document as JSON, with all that it refers to.
func AsyncAPIJSON() []byte { return asyncAPIJSON() }

// OpenAPI returns the OpenAPI 3.1 document of the gateway and of webhooks as JSON, with all that it refers to.
func OpenAPI() []byte { return openAPIJSON() }

var (
	asyncAPIJSON = sync.OnceValue(func() []byte { return mustBundle("asyncapi.yaml") })
	openAPIJSON  = sync.OnceValue(func() []byte { return mustBundle("openapi.yaml") })
)

func mustBundle(file string) []byte {
	raw, err := bundle(file)
	if err != nil {
		panic(file + " is embedded, yet cannot be bundled: " + err.Error())
	}
	return raw
}

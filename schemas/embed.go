package schemas

import (
	"embed"
	"fmt"
)

// FS holds the JSON Schemas, as json/<name>.json, and asyncapi.yaml.
//
//go:embed json/*.json asyncapi.yaml
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

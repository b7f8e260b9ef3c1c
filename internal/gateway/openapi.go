package gateway

import (
	"net/http"
	"strings"

	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/schemas"
)

// mediaSchema is the media type of JSON Schemas (draft-bhutton-json-schema, section 14).
const mediaSchema = "application/schema+json"

// openAPI serves the description of the gateway and of webhooks.
func openAPI(w http.ResponseWriter, _ *http.Request) error {
	return describe(w, mediaJSON, schemas.OpenAPI())
}

// asyncAPI serves the description of what travels on NATS.
func asyncAPI(w http.ResponseWriter, _ *http.Request) error {
	return describe(w, mediaJSON, schemas.AsyncAPIJSON())
}

// jsonSchema serves one of the JSON Schemas.
func jsonSchema(w http.ResponseWriter, r *http.Request) error {
	name, isJSON := strings.CutSuffix(r.PathValue("file"), ".json")
	text, err := schemas.JSONSchema(name)
	if err != nil || !isJSON {
		return httpapi.Reject(http.StatusNotFound, "",
			"no such schema: use one of "+strings.Join(schemas.SchemaNames(), ", ")+", and .json")
	}
	return describe(w, mediaSchema, text)
}

func describe(w http.ResponseWriter, media string, text []byte) error {
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(text) //nolint:gosec // an embedded document, never HTML; a client that is gone needs nothing
	return nil
}

package gateway

import (
	"net/http"

	"github.com/hookturn/hookturn/schemas"
)

// openAPI serves the description of the gateway.
func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", mediaJSON)
	_, _ = w.Write(schemas.OpenAPI()) // the client may be gone: there is nobody left to tell
}

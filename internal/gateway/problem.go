package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/schemas"
)

// Short names of what the gateway shares with the admin API.
type (
	problem = httpapi.Problem
	digest  = httpapi.Digest
)

func refuse(w http.ResponseWriter, status int, kind fault.Kind, detail string) {
	httpapi.Refuse(w, status, kind, detail)
}

func refuseAt(w http.ResponseWriter, pointer, reason string) { httpapi.RefuseAt(w, pointer, reason) }

func refuseFor(w http.ResponseWriter, wait time.Duration, kind fault.Kind, detail string) {
	httpapi.RefuseFor(w, wait, kind, detail)
}

func refuseFailed(w http.ResponseWriter, err error, what string) { httpapi.RefuseFailed(w, err, what) }

func unauthorized(w http.ResponseWriter) { httpapi.Unauthorized(w) }

func answer(w http.ResponseWriter, contentType string, status int, body any) {
	httpapi.Answer(w, contentType, status, body)
}

func notFound(w http.ResponseWriter, r *http.Request) { httpapi.NotFound(w, r) }

func only(methods ...string) http.HandlerFunc { return httpapi.Only(methods...) }

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	return httpapi.ReadBody(w, r, limit)
}

func readJSON(w http.ResponseWriter, r *http.Request, limit int64, word fault.Kind) ([]byte, bool) {
	return httpapi.ReadJSON(w, r, limit, word)
}

func uncompressed(w http.ResponseWriter, r *http.Request) bool { return httpapi.Uncompressed(w, r) }

func bearer(r *http.Request) string { return httpapi.Bearer(r) }

func digestOf(token string) digest { return httpapi.DigestOf(token) }

// bodyMax bounds every body, in bytes (contract, section 5).
const bodyMax = 1 << 20

// refuseField answers an error that knows which member is wrong.
func refuseField(w http.ResponseWriter, err error) {
	var event *schemas.InvalidError
	var field *twoway.FieldError
	switch {
	case errors.As(err, &event):
		refuseAt(w, event.Pointer, event.Message)
	case errors.As(err, &field):
		refuseAt(w, field.Pointer, field.Reason)
	default:
		refuse(w, http.StatusBadRequest, fault.BadEvent, err.Error())
	}
}

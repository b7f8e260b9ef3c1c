package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/visible"
)

// MediaJSON is the media type of the answers that are not problems.
const MediaJSON = "application/json"

// Handler serves one operation. It writes the answer, or returns an error before it has written anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Serve returns the http.Handler of a Handler. It is the only place that writes error responses, and that logs why a
// request failed: a *Problem is written as it is, any other error as a fault of hookturn.
func Serve(log *slog.Logger, handle Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handle(w, r)
		if err == nil {
			return
		}
		p, known := errors.AsType[*Problem](err)
		if !known {
			p = Failed(err, "the request failed").Because(err, "serving a request failed")
		}
		if p.event != "" {
			attributes := slices.Concat(p.attributes, []any{"error", p.cause})
			log.WarnContext(r.Context(), p.event, attributes...) //nolint:sloglint // each use of Because has a literal
		}
		p.write(w)
	})
}

// Answer writes a JSON document, in which control and format characters are escapes: operators read answers in terminals.
func Answer(w http.ResponseWriter, contentType string, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("the answer cannot be written as JSON: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(visible.Text(text)) // a write error means that the client has disconnected
	return nil
}

// NotFound is the handler of every path that does not exist.
func NotFound(_ http.ResponseWriter, r *http.Request) error {
	return Reject(http.StatusNotFound, "", "no such path: "+r.URL.Path)
}

// Only is the handler of a path for every method but those that the path has.
func Only(methods ...string) Handler {
	return func(http.ResponseWriter, *http.Request) error {
		return Reject(http.StatusMethodNotAllowed, "", "use "+strings.Join(methods, " or ")).
			With("Allow", strings.Join(methods, ", "))
	}
}

package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// watched gives every request an id, counts it and logs it. Neither the log nor the figures hold the path, which may be a
// secret: they hold the pattern of the route.
func (o Options) watched(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := routes.Handler(r)
		id, began, seen := uuid.NewString(), time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		w.Header().Set("X-Request-Id", id)
		routes.ServeHTTP(seen, r)
		took := time.Since(began)
		if seen.status == http.StatusSwitchingProtocols {
			took = 0 // it is the connection's life, not the request's
		}
		o.Metrics.Gateway(route, seen.status, took)
		level := slog.LevelInfo
		if seen.status >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		o.Log.Log(r.Context(), level, "gateway request", "request", id, "route", route, "method", r.Method,
			"status", seen.status, "ms", took.Milliseconds(), "from", o.peer(r))
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader remembers the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

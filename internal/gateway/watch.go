package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// watched assigns an id to every request, counts it and logs it. Neither the log nor the figures hold the path, which may be
// a secret: they hold the pattern of the route.
func (o Options) watched(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := routes.Handler(r)
		id, began, seen := uuid.NewString(), time.Now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		w.Header().Set("X-Request-Id", id)
		r = traced(r)
		entering(seen, r, httpapi.Serve(o.Log, o.recovered(routes)))
		took := time.Since(began)
		if seen.status == http.StatusSwitchingProtocols || w.Header().Get("Content-Type") == mediaEvents {
			took = 0 // it is the connection's life, not the request's
		}
		o.Metrics.Gateway(route, seen.status, took)
		level := slog.LevelInfo
		if seen.status >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		o.Log.Log(r.Context(), level, "gateway request", "request", id, "route", route, "method", r.Method,
			"status", seen.status, "duration_ms", took.Milliseconds(), "remote_addr", o.peer(r))
	})
}

// requestTrace is the trace of a request: that of its traceparent, or of the event that it brings.
type requestTrace struct{ id string }

// TraceID implements telemetry.Traced.
func (t *requestTrace) TraceID() string { return t.id }

type requestTraceKey struct{}

// traced lets the log lines about a request have its trace.
func traced(r *http.Request) *http.Request {
	t := &requestTrace{schemas.TraceIDOf(r.Header.Get("Traceparent"), schemas.ConversationKey{}, "")}
	return r.WithContext(context.WithValue(telemetry.WithTrace(r.Context(), t), requestTraceKey{}, t))
}

// recovered serves a request. A handler that panics answers 500 and takes no other request of the connection with it.
func (o Options) recovered(routes http.Handler) httpapi.Handler {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if reason == http.ErrAbortHandler { //nolint:errorlint // net/http compares it as well
				panic(reason)
			}
			o.Log.ErrorContext(r.Context(), "gateway handler panicked", "panic", fmt.Sprint(reason), "stack",
				string(debug.Stack()))
			if seen, ok := w.(*statusWriter); !ok || !seen.wrote {
				err = httpapi.Reject(http.StatusInternalServerError, fault.Internal,
					"internal error: report the X-Request-Id of this response to the operator")
			}
		}()
		if err := sound(w, r); err != nil {
			return err
		}
		routes.ServeHTTP(w, r)
		return nil
	}
}

// sound rejects a request that two readers may understand in two ways.
func sound(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		// net/http removes a Content-Length beside it, so nothing shows whether there was one: then a proxy in between may see
		// another request in what follows (RFC 9112, section 6.1).
		w.Header().Set("Connection", "close")
	}
	if name := repeated(r.Header); name != "" {
		return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "duplicate header "+name+": send it once")
	}
	return nil
}

// repeated returns the name of a header that decides who sends what, and is there more than once: what reads the request
// after or before the gateway may choose another value.
func repeated(header http.Header) string {
	for _, name := range []string{
		"Authorization", "Content-Type", "Content-Encoding", "X-Cm-Producttoken", "Origin", "Upgrade",
	} {
		if len(header.Values(name)) > 1 {
			return name
		}
	}
	return ""
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
	wrote  bool
}

// WriteHeader remembers the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status, w.wrote = status, true
	w.ResponseWriter.WriteHeader(status)
}

// Write remembers that an answer has begun.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach what is below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

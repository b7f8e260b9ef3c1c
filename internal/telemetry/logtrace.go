package telemetry

import (
	"context"
	"log/slog"
)

// KeyTrace is the key of the trace id in log lines.
const KeyTrace = "trace_id"

// Traced is what belongs to a trace, such as an event.
type Traced interface {
	// TraceID returns the trace id as 32 hex digits, "" when there is none.
	TraceID() string
}

// TraceID is a trace by its id.
type TraceID string

// TraceID implements Traced.
func (t TraceID) TraceID() string { return string(t) }

type tracedKey struct{}

// WithTrace returns a context whose log lines have the trace id of t. The id is made when a line is written.
func WithTrace(ctx context.Context, t Traced) context.Context {
	return context.WithValue(ctx, tracedKey{}, t)
}

// traceHandler adds the trace id of the context to lines that do not have one.
type traceHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if t, ok := ctx.Value(tracedKey{}).(Traced); ok && !hasTrace(r) {
		if id := t.TraceID(); id != "" {
			r = r.Clone()
			r.AddAttrs(slog.String(KeyTrace, id))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func hasTrace(r slog.Record) (has bool) {
	r.Attrs(func(a slog.Attr) bool {
		has = a.Key == KeyTrace
		return !has
	})
	return has
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

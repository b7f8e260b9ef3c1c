// Package telemetry names what hookturn tells its operator: log lines, metrics and their labels. Labels are closed words
// and names from bot files, never ids of users or conversations, so that a metric's size is bounded by configuration.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger writes log lines to w as text or JSON, from a level on (debug, info, warn, error).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: use text or json", format)
}

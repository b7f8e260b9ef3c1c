// Package telemetry provides the logger and the Prometheus metrics. Label values are fixed words or names from bot files,
// never ids of users or conversations, so that the configuration bounds the number of time series.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hookturn/hookturn/internal/visible"
)

// Formats of log lines.
const (
	FormatAuto = "auto" // text on a terminal, else JSON
	FormatText = "text"
	FormatJSON = "json"
)

// NewLogger returns a logger that writes lines of the level (debug, info, warn, error) and above to w, in one of the
// formats. Control and format characters are written as \u00xx in each of them.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	logger, _, err := NewLeveledLogger(w, level, format)
	return logger, err
}

// NewLeveledLogger returns a logger as NewLogger does, and its level, which may be changed at any time.
func NewLeveledLogger(w io.Writer, level, format string) (*slog.Logger, *Level, error) {
	l := &Level{}
	if err := l.configured.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fmt.Errorf("invalid log level %q: use debug, info, warn or error", level)
	}
	l.Reset()
	opts := &slog.HandlerOptions{Level: &l.now, ReplaceAttr: readableDurations}
	if format == FormatAuto {
		format = FormatJSON
		if isTerminal(w) {
			format = FormatText
		}
	}
	w = visible.NewWriter(w) // lines contain text of engines, endpoints and scripts
	switch format {
	case FormatText:
		return slog.New(traceHandler{slog.NewTextHandler(w, opts)}), l, nil
	case FormatJSON:
		return slog.New(traceHandler{slog.NewJSONHandler(w, opts)}), l, nil
	}
	return nil, nil, fmt.Errorf("invalid log format %q: use auto, text or json", format)
}

// Level is the level of a logger.
type Level struct {
	configured slog.Level
	now        slog.LevelVar
}

// Debug lets the logger write all lines.
func (l *Level) Debug() { l.now.Set(slog.LevelDebug) }

// Reset restores the level with which the logger was made.
func (l *Level) Reset() { l.now.Set(l.configured) }

// readableDurations writes durations as "1.5s" in both formats: JSON would have a number of nanoseconds.
func readableDurations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	if outer, ok := w.(interface{ Unwrap() io.Writer }); ok {
		return isTerminal(outer.Unwrap())
	}
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

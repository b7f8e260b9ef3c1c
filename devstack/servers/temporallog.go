package servers

import (
	"context"
	"log/slog"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// temporalLogger forwards the log of the Temporal server to our logger.
type temporalLogger struct{ slog *slog.Logger }

var (
	_ log.Logger     = temporalLogger{}
	_ log.WithLogger = temporalLogger{}
)

func (l temporalLogger) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	// Reading a tag's value is expensive, and the server logs many lines below the level.
	if !l.slog.Enabled(ctx, level) {
		return
	}
	l.slog.LogAttrs(ctx, level, msg, attrs(tags)...)
}

func (l temporalLogger) Debug(msg string, tags ...tag.Tag)  { l.write(slog.LevelDebug, msg, tags) }
func (l temporalLogger) Info(msg string, tags ...tag.Tag)   { l.write(slog.LevelInfo, msg, tags) }
func (l temporalLogger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l temporalLogger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l temporalLogger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l temporalLogger) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic("temporal server: " + msg)
}

// Fatal panics instead of ending the process, so that a caller that starts the server gets an error.
func (l temporalLogger) Fatal(msg string, tags ...tag.Tag) { l.Panic(msg, tags...) }

func (l temporalLogger) With(tags ...tag.Tag) log.Logger {
	return temporalLogger{slog: slog.New(l.slog.Handler().WithAttrs(attrs(tags)))}
}

// SLog returns our logger to the parts of the server that use slog.
func (l temporalLogger) SLog() *slog.Logger { return l.slog }

func attrs(tags []tag.Tag) []slog.Attr {
	out := make([]slog.Attr, len(tags))
	for i, t := range tags {
		out[i] = slog.Any(t.Key(), t.Value())
	}
	return out
}

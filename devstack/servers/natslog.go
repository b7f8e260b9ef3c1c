package servers

import (
	"context"
	"fmt"
	"log/slog"
)

// natsLogger forwards the log of the NATS server to our logger, and turns fatal messages into an error for StartNATS.
type natsLogger struct {
	slog  *slog.Logger
	fatal chan error
}

func newNATSLogger(logger *slog.Logger) natsLogger {
	return natsLogger{slog: logger, fatal: make(chan error, 1)}
}

func (l natsLogger) write(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.slog.Enabled(ctx, level) {
		l.slog.Log(ctx, level, "nats: "+fmt.Sprintf(format, args...))
	}
}

func (l natsLogger) Noticef(format string, args ...any) { l.write(slog.LevelInfo, format, args) }
func (l natsLogger) Warnf(format string, args ...any)   { l.write(slog.LevelWarn, format, args) }
func (l natsLogger) Errorf(format string, args ...any)  { l.write(slog.LevelError, format, args) }
func (l natsLogger) Debugf(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }
func (l natsLogger) Tracef(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }

// Fatalf returns, as the server allows: the server continues without the part that failed. The first message is kept.
func (l natsLogger) Fatalf(format string, args ...any) {
	l.write(slog.LevelError, format, args)
	select {
	case l.fatal <- fmt.Errorf(format, args...):
	default:
	}
}

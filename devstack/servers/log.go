package servers

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// gate forwards a server's log to the caller's logger, from a minimum level upwards.
type gate struct {
	level slog.Leveler // set by the caller; nil = default
	calm  atomic.Bool
}

// newGate starts calm: see settle.
func newGate(level slog.Leveler) *gate {
	g := &gate{level: level}
	g.calm.Store(true)
	return g
}

// Level implements slog.Leveler. While a server starts or stops, it warns of every part that is missing; unless the
// caller set a level, the gate then forwards only errors.
func (g *gate) Level() slog.Level {
	switch {
	case g.level != nil:
		return g.level.Level()
	case g.calm.Load():
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// settle records whether the server is running: true after its start, false before its stop.
func (g *gate) settle(running bool) { g.calm.Store(!running) }

// logger returns the caller's logger behind the gate; for a nil logger, one that discards everything.
func (g *gate) logger(to *slog.Logger) *slog.Logger {
	if to == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(levelHandler{Handler: to.Handler(), min: g})
}

// levelHandler is a slog.Handler with a minimum level.
type levelHandler struct {
	slog.Handler
	min slog.Leveler
}

func (h levelHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.min.Level() && h.Handler.Enabled(ctx, level)
}

func (h levelHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelHandler{Handler: h.Handler.WithAttrs(attrs), min: h.min}
}

func (h levelHandler) WithGroup(name string) slog.Handler {
	return levelHandler{Handler: h.Handler.WithGroup(name), min: h.min}
}

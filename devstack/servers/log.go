package servers

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// gate passes a server's log on to the caller's logger, from a least level upwards.
type gate struct {
	level slog.Leveler // what the caller asked for; nil when it did not say
	calm  atomic.Bool
}

// newGate starts calm: see settle.
func newGate(level slog.Leveler) *gate {
	g := &gate{level: level}
	g.calm.Store(true)
	return g
}

// Level implements slog.Leveler. While its parts come and go a server warns of everything that is not there yet or no
// longer; unless the caller asked for a level, only errors are passed on then.
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

// settle says whether the server is running: true after its start, false before its end.
func (g *gate) settle(running bool) { g.calm.Store(!running) }

// logger is the caller's logger behind the gate; a nil logger discards everything.
func (g *gate) logger(to *slog.Logger) *slog.Logger {
	if to == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(levelHandler{Handler: to.Handler(), min: g})
}

// levelHandler is a slog.Handler with a floor.
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

package eventreader

import (
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/loglimit"
)

// retryLog logs what is being retried: one line a minute for each kind, with the number of tries since the line before.
type retryLog struct {
	log     *slog.Logger
	retried func(tenant, kind string) // may be nil
	lines   loglimit.Limiter[string]  // by kind
}

func newRetryLog(log *slog.Logger, retried func(tenant, kind string)) *retryLog {
	return &retryLog{log: log, retried: retried}
}

// note counts a retry, and logs it when no line of its kind was logged for a minute. m is nil when the event could not be
// read.
func (l *retryLog) note(tenant string, o Outcome, m *Message, wait time.Duration) {
	if l.retried != nil {
		l.retried(tenant, o.kind)
	}
	tries, due := l.lines.Due(o.kind, time.Now())
	if !due {
		return
	}
	args := []any{"kind", o.kind, "tries", tries, "tenant", tenant, "error", o.Err(), "retry_in", wait}
	if m != nil {
		args = append(args, m.ids()...)
	}
	l.log.Warn("events not handled yet, will retry; further tries of this kind are counted for a minute", args...)
}

package eventreader

import (
	"log/slog"
	"sync"
	"time"
)

// retryLogInterval is the shortest time between two log lines about retries of one kind.
const retryLogInterval = time.Minute

// retryLog logs what is being retried: one line per kind and interval, with the number of tries since the line before.
type retryLog struct {
	log     *slog.Logger
	retried func(tenant, kind string) // may be nil

	mu    sync.Mutex
	kinds map[string]*retryKind
}

type retryKind struct {
	logged time.Time
	tries  int
}

func newRetryLog(log *slog.Logger, retried func(tenant, kind string)) *retryLog {
	return &retryLog{log: log, retried: retried, kinds: map[string]*retryKind{}}
}

// note counts a retry, and logs it when no line of its kind was logged for the interval. m is nil when the event could not
// be read.
func (l *retryLog) note(tenant string, o Outcome, m *Message, wait time.Duration) {
	if l.retried != nil {
		l.retried(tenant, o.kind)
	}
	l.mu.Lock()
	k := l.kinds[o.kind]
	if k == nil {
		k = &retryKind{}
		l.kinds[o.kind] = k
	}
	k.tries++
	tries := k.tries
	now := time.Now()
	due := k.logged.IsZero() || now.Sub(k.logged) >= retryLogInterval
	if due {
		k.logged, k.tries = now, 0
	}
	l.mu.Unlock()
	if !due {
		return
	}
	args := []any{"kind", o.kind, "tries", tries, "tenant", tenant, "error", o.Err(), "retry_in", wait}
	if m != nil {
		args = append(args, m.ids()...)
	}
	l.log.Warn("events not handled yet, will retry; further tries of this kind are counted for a minute", args...)
}

package codeworker

import (
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/lru"
)

const (
	// durationsKept is how many durations of a script are kept. The shortest one counts, as for endpoints.
	durationsKept = 4
	// slowFor is how long a script counts as slow after its latest first attempt: activities run it, which measure nothing.
	slowFor = time.Minute
)

// durations are how long the latest first attempts at each script took. The zero value is ready.
type durations struct{ scripts lru.Map[string, measured] }

type measured struct {
	took []time.Duration
	at   time.Time
}

// slow reports whether a script is likely to take longer than limit.SlowAfter. It is then better run as an activity: while
// a local one runs, its workflow task must be kept alive.
func (d *durations) slow(script string) bool {
	latest, known := d.scripts.Get(script)
	return known && time.Since(latest.at) < slowFor && slices.Min(latest.took) > limit.SlowAfter
}

// record records the duration of a first attempt.
func (d *durations) record(script string, took time.Duration) {
	d.scripts.Update(script, func(before measured) measured {
		older := before.took[max(0, len(before.took)-durationsKept+1):]
		return measured{append(slices.Clone(older), took), time.Now()}
	})
}

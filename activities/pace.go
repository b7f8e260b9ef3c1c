package activities

import (
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/limit"
)

const (
	// paceLatest is how many times of a script are kept. The shortest one counts, as for endpoints.
	paceLatest = 4
	// paceFor is how long a script counts as slow after its latest first attempt: activities run it, which measure nothing.
	paceFor = time.Minute
)

// pace is how long the latest first attempts at each script took. The zero value is ready.
type pace struct{ latest[string, paced] }

type paced struct {
	took []time.Duration
	at   time.Time
}

// slow reports whether a script is likely to take longer than limit.SlowAfter. It is then better run as an activity: while
// a local one runs, its workflow task must be kept alive.
func (p *pace) slow(script string) bool {
	latest, known := p.get(script)
	return known && time.Since(latest.at) < paceFor && slices.Min(latest.took) > limit.SlowAfter
}

// note records the time of a first attempt.
func (p *pace) note(script string, took time.Duration) {
	p.change(script, func(before paced) paced {
		older := before.took[max(0, len(before.took)-paceLatest+1):]
		return paced{append(slices.Clone(older), took), time.Now()}
	})
}

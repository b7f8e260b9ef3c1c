package recovery

import (
	"context"
	"errors"
	"time"
)

// RecoverTwice looks for runs that ended early twice, as the loop does, and tries all of them again.
func (r *Recovery) RecoverTwice(ctx context.Context) error {
	p := newProgress(r)
	err := p.round(ctx)
	for _, run := range p.pending {
		run.next = time.Time{}
	}
	return errors.Join(err, p.round(ctx))
}

// RecoverOnce looks for runs that ended early once.
func (r *Recovery) RecoverOnce(ctx context.Context) error { return newProgress(r).round(ctx) }

// Recovering records so many recoveries of latest runs as under way.
func (r *Recovery) Recovering(count int32) { r.latest.Add(count) }

// LatestMax is the number of events that may wait for recoveries at a time.
const LatestMax = latestMax

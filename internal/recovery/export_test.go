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

// Recovering records so many recoveries of latest runs of a tenant as under way, until they are ended.
func (r *Recovery) Recovering(tenant string, count int) (end func()) {
	if count == 0 {
		return func() {}
	}
	end, _ = r.latest.TakeMany(tenant, count, latestMax)
	return end
}

// LatestMax is the number of a tenant's events that may wait for recoveries at a time. LatestFor is how long a run that cannot
// be recovered delays later events.
const (
	LatestMax = latestMax
	LatestFor = latestFor
)

package intake

import (
	"context"
	"errors"
	"time"

	"github.com/hookturn/hookturn/internal/eventreader"
)

// SetTried makes an event one that was tried before, since a time.
func (i *Intake) SetTried(m *eventreader.Message, since time.Time) { i.tries.failed(m, since) }

// RecoverTwice looks for runs that ended early twice, as the loop does, and tries all of them again.
func (i *Intake) RecoverTwice(ctx context.Context) error {
	r := newRecovery(i)
	err := r.round(ctx)
	for _, run := range r.pending {
		run.next = time.Time{}
	}
	return errors.Join(err, r.round(ctx))
}

// Recovered looks for runs that ended early once.
func (i *Intake) Recovered(ctx context.Context) error { return newRecovery(i).round(ctx) }

// Recovering records so many recoveries as running.
func (i *Intake) Recovering(count int32) { i.recovering.Add(count) }

// RecoverFirst is the number of events that may wait for recoveries at a time.
const RecoverFirst = recoverFirst

// Package recovery hands over what runs that ended early have left: runs that were terminated by an operator or by the
// server, failed, or timed out. The messages of their events were acknowledged when the run accepted them, so JetStream does
// not deliver them again; the run's history still has them. The events of a conversation keep their order. Every starter
// looks for such runs (ADRs 36 and 73). Any number of starters may do it: an event has one update id, and a conversation
// recognises the events that it has. An event that no run takes is answered, and becomes a dead letter.
package recovery

import (
	"context"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// roundEvery is how often runs that ended early are looked for.
const roundEvery = 15 * time.Second

// Recovery recovers runs that ended early. Fields whose comment does not name what nil means are required.
type Recovery struct {
	Temporal   client.Client
	Namespace  string                  // of the workflows
	Queue      string                  // task queue of the workflows
	Converter  converter.DataConverter // of the payloads in histories; nil: step.DataConverter
	Dispatcher *dispatch.Dispatcher
	Answers    *answer.Answers
	Mark       Mark    // nil: each starter looks for runs that ended early as far back as it can
	Letters    Letters // nil: an event that no run takes is only answered
	Log        *slog.Logger
	Metrics    *telemetry.Metrics // nil: nothing is counted

	latest tenantshare.Shares // calls of Latest that recover a run
}

// Mark stores up to which time all runs that ended early were recovered, for the starters that come later.
type Mark interface {
	// Get returns the time, the zero time when none is stored.
	Get(ctx context.Context) (time.Time, error)
	Put(ctx context.Context, mark time.Time) error
}

// Letters stores events that were accepted and that no run takes as dead letters.
type Letters interface {
	// Write stores an event. Writing it twice stores it once. An event that no message can hold is a fault of the kind
	// too_large.
	Write(ctx context.Context, of schemas.ConversationKey, e schemas.Event, reason *fault.Fault) error
}

// Run recovers runs that ended early until ctx ends.
func (r *Recovery) Run(ctx context.Context) {
	p := newProgress(r)
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "recovering runs that ended early failed, will retry", "retry_in", roundEvery, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

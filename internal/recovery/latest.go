package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/dispatch"
)

const (
	// latestMax is how many events at a time may wait until what the run before them has left is recovered. With more, the
	// server is overloaded or many runs were ended at once: then the events go first, and the regular look comes later.
	latestMax = 16
	// latestTimeout bounds the wait of one event.
	latestTimeout = 5 * time.Second
)

// Latest recovers the latest run of a conversation if it ended early, for an event that found its run ended: the events that
// the run had accepted are older, and go first. A conversation that was closed costs one look-up. With many such events at a
// time it does nothing.
func (r *Recovery) Latest(ctx context.Context, workflowID string) error {
	if r.latest.Add(1) > latestMax {
		r.latest.Add(-1)
		return nil
	}
	defer r.latest.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, latestTimeout)
	defer cancel()
	latest, err := r.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil // its retention is over
	}
	if err != nil {
		return fmt.Errorf("look at the latest run: %w", err)
	}
	if info := latest.GetWorkflowExecutionInfo(); dispatch.EndedEarly(info.GetStatus()) {
		if err := r.recoverRun(ctx, newEndedRun(info)); err != nil {
			return fmt.Errorf("recover run %s first: %w", info.GetExecution().GetRunId(), err)
		}
	}
	return nil
}

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
	// latestMax is how many events of a tenant at a time may have recovered what the run before them has left.
	latestMax = 16
	// latestTimeout bounds the wait of one event.
	latestTimeout = 5 * time.Second
	// latestFor is how long after its end a run that cannot be recovered delays the events behind it: until the rounds have
	// given it up.
	latestFor = giveUpAfter + retryMax
)

// Latest recovers the latest run of a conversation if it ended early, for an event that found its run ended: the events that
// the run had accepted are older, and go first. A conversation that was closed costs one look-up, and no place. When all
// places of the tenant are taken, the error is dispatch.ErrNoPlace.
func (r *Recovery) Latest(ctx context.Context, workflowID string) error {
	ctx, cancel := context.WithTimeout(ctx, latestTimeout)
	defer cancel()
	latest, err := r.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil // its retention is over
	}
	if err != nil {
		return fmt.Errorf("look at the latest run: %w", err)
	}
	info := latest.GetWorkflowExecutionInfo()
	if !dispatch.EndedEarly(info.GetStatus()) {
		return nil
	}
	run := newEndedRun(info)
	release, ok := r.latest.Take(run.key.Tenant, latestMax)
	if !ok {
		return fmt.Errorf("recover run %s first: %w", run.run, dispatch.ErrNoPlace)
	}
	defer release()
	err = r.recoverRun(ctx, run)
	switch {
	case err == nil:
		return nil
	case !dispatch.Passing(err) && time.Since(run.closed) > latestFor:
		r.Log.WarnContext(ctx, "recovering a run that ended early failed, later events go on", "workflow", run.workflow,
			"run_id", run.run, "error", err)
		return nil
	}
	return fmt.Errorf("recover run %s first: %w", run.run, err)
}

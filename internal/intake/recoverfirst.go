package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
)

const (
	// recoverFirst is how many events at a time may wait until what the run before them has left is recovered. With more, the
	// server is overloaded or many runs were ended at once: then the events go first, and the regular look comes later.
	recoverFirst = 16
	// recoverFirstTimeout bounds the wait of one event.
	recoverFirstTimeout = 5 * time.Second
)

// recoverLatest recovers the latest run of a conversation if it ended early, for an event that found its run ended: the
// events that the run had accepted are older, and go first. A conversation that was closed costs one look-up.
func (i *Intake) recoverLatest(ctx context.Context, workflow string) error {
	if i.recovering.Add(1) > recoverFirst {
		i.recovering.Add(-1)
		return nil
	}
	defer i.recovering.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, recoverFirstTimeout)
	defer cancel()
	latest, err := i.Temporal.DescribeWorkflowExecution(ctx, workflow, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return nil // its retention is over
	}
	if err != nil {
		return fmt.Errorf("look at the latest run: %w", err)
	}
	if info := latest.GetWorkflowExecutionInfo(); endedEarly(info.GetStatus()) {
		if err := i.recoverRun(ctx, newEndedRun(info)); err != nil {
			return fmt.Errorf("recover run %s first: %w", info.GetExecution().GetRunId(), err)
		}
	}
	return nil
}

// leaveToRecovery leaves an event to the recovery of the run that has it. The recovery runs at once where it may, and the run
// stays the one that the next event asks, which finds it ended and is offered behind what is recovered.
func (i *Intake) leaveToRecovery(ctx context.Context, workflow, run string) {
	i.runs.set(workflow, run)
	if err := i.recoverLatest(ctx, workflow); err != nil {
		i.Log.WarnContext(ctx, "recovering a run that ended early failed, will retry", "workflow", workflow, "run_id", run,
			"error", err)
	}
}

package recovery

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/step"
)

// An operator's reset ends a run as a termination does, and begins another one, which has the history of the first up to a
// point and, unless the operator excludes them, the Updates behind it once more. These events are not left: the new run
// answers them.

// successorRuns is how many runs are read for what the open run has taken.
const successorRuns = 100

// successor is what the run that is open now has, and the runs that it continues.
type successor struct {
	waiting  *step.Delivery  // the step that waits for entities there
	taken    map[string]bool // ids of the Updates
	admitted map[string]bool // ids of those that a reset has applied again, and that are not accepted yet
	whole    bool            // it has all that the run that ended early had
}

// has reports whether an event is the successor's to answer.
func (s successor) has(d step.Delivery) bool {
	return s.whole || s.taken[step.UpdateID(d.Event.ID)] || s.taken[step.AgainID(d.Event.ID)]
}

// mayReject reports whether an event was applied again, and not accepted. It waits there for its turn, unless the run has
// rejected it, which leaves nothing in its history: for want of room, where a reset applies more events than a run takes.
func (s successor) mayReject(d step.Delivery) bool {
	return s.admitted[step.UpdateID(d.Event.ID)] || s.admitted[step.AgainID(d.Event.ID)]
}

// successor returns what the run has that follows one that ended early; nothing when none is open. A later run of a step of
// its own has the step.
func (r *Recovery) successor(ctx context.Context, run *endedRun, left *remains) (s successor, err error) {
	latest, err := r.Temporal.DescribeWorkflowExecution(ctx, run.workflow, "")
	if err != nil {
		return s, fmt.Errorf("look at the latest run: %w", err)
	}
	info := latest.GetWorkflowExecutionInfo()
	if left.request != nil {
		s.whole = info.GetExecution().GetRunId() != run.run && !dispatch.EndedEarly(info.GetStatus())
		return s, nil
	}
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return s, nil
	}
	s.taken, s.admitted = map[string]bool{}, map[string]bool{}
	id := info.GetExecution().GetRunId()
	for n := 0; n < successorRuns && id != "" && id != run.run; n++ {
		open, err := r.history(ctx, run.workflow, id)
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone && n > 0 {
			break
		}
		if err != nil {
			return s, fmt.Errorf("run %s, which follows: %w", id, err)
		}
		if n == 0 {
			s.waiting = open.waiting
		}
		for _, update := range open.order {
			if open.admitted[update] {
				s.admitted[update] = true
			} else {
				s.taken[update] = true
			}
		}
		if waited := open.left.input.Waiting; waited != nil {
			s.taken[step.UpdateID(waited.Event.ID)] = true
		}
		if open.latest.Before(run.begun) {
			break
		}
		id = open.continues
	}
	return s, nil
}

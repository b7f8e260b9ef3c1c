package inspect

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
)

// Canceller requests the cancellation of a run. client.Client is one.
type Canceller interface {
	CancelWorkflow(ctx context.Context, workflowID, runID string) error
}

// Cancel requests the cancellation of a run, and returns what became of it; the error is that of NotCancelled.
func Cancel(ctx context.Context, t Canceller, r Run) (result string, err error) {
	err = t.CancelWorkflow(ctx, r.Workflow.ID, r.Workflow.RunID)
	if _, over := errors.AsType[*serviceerror.NotFound](err); over {
		return Ended, nil
	}
	if err != nil {
		return NotCancelled, err
	}
	return Cancelled, nil
}

// What became of a run that was to be cancelled: the names of counts in audit events and in the output of tools.
const (
	Cancelled    = "cancelled"
	NotCancelled = "not_cancelled" // its cancellation failed
	Ended        = "ended"         // it had ended meanwhile
)

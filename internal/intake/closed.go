package intake

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/step"
)

// closedRunKnows reports whether a completed run of a conversation had taken an event. A running one recognises its events
// itself. An event that this process tries again can only be in the latest run. One that another delivery has brought
// may come long after its run: its acknowledgement was lost with a server, the conversation was closed, and later rounds
// of it had runs of their own, closed ones and an open one, that do not know it. So all runs that ended since the event
// was stored are asked.
func (i *Intake) closedRunKnows(ctx context.Context, id, eventID string, before tried) (bool, error) {
	latest, err := i.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return false, nil //nolint:nilerr // there is no run, or handing the event over meets the same error
	}
	if i.knows(ctx, id, latest.GetWorkflowExecutionInfo(), eventID) {
		return true, nil
	}
	if !before.redelivered {
		return false, nil
	}
	stored := before.stored
	if stored.IsZero() {
		stored = time.Now().Add(-recoverBack)
	}
	since := stored.Add(-step.ClockSlack)
	if started := latest.GetWorkflowExecutionInfo().GetStartTime(); started != nil && started.AsTime().Before(since) {
		return false, nil // every earlier run ended before the event was stored
	}
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: i.Namespace, PageSize: 100,
		Query: fmt.Sprintf("WorkflowId = %s AND ExecutionStatus = 'Completed' AND CloseTime >= '%s'", step.Quote(id),
			since.UTC().Format(time.RFC3339)),
	}
	for {
		page, err := i.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return false, fmt.Errorf("list the runs of a conversation: %w", err)
		}
		for _, run := range page.GetExecutions() {
			if i.knows(ctx, id, run, eventID) {
				return true, nil
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return false, nil
		}
	}
}

// knows reports whether a run has completed and had taken an event.
func (i *Intake) knows(ctx context.Context, id string, run *workflowpb.WorkflowExecutionInfo, eventID string) bool {
	if run.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		return false
	}
	var result step.ConversationResult
	return i.Temporal.GetWorkflow(ctx, id, run.GetExecution().GetRunId()).Get(ctx, &result) == nil &&
		slices.Contains(result.EventIDs, eventID)
}

package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/step"
)

// runsAsked is how many runs of a conversation are asked about an event at most. An engine that publishes events with an
// early time, and ends its conversation after each, would have all of them asked for each event.
const runsAsked = 100

// closedRunKnows reports whether a closed run of a conversation had taken an event, and returns the run that answered it. A
// running one recognises its events itself. An event that this process tries again can only be in the latest run. One that
// another delivery has brought may come long after its run: its acknowledgement was lost with a server, the conversation was
// closed or its run was ended, and later rounds of it had runs of their own, closed ones and an open one, that do not know
// it. So all runs that ended since the event was stored are asked, up to runsAsked. Of a conversation whose runs the server
// does not keep any more only its replies are left. An event about which a server cannot be asked waits.
func (i *Intake) closedRunKnows(ctx context.Context, to step.Address, before tried) (run string, known bool, err error) {
	id := step.ConversationID(to.ConversationKey)
	described, err := i.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return "", before.redelivered && i.replied(ctx, to, before.stored), nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look at the latest run of a conversation: %w", err)
	}
	latest := described.GetWorkflowExecutionInfo()
	if run, known, err = i.knows(ctx, id, latest, to.Event.ID, before); known || err != nil || !before.redelivered {
		return run, known, err
	}
	stored := before.stored
	if stored.IsZero() {
		stored = time.Now().Add(-recoverBack)
	}
	since := stored.Add(-step.ClockSlack)
	if started := latest.GetStartTime(); started != nil && started.AsTime().Before(since) {
		return "", false, nil // every earlier run ended before the event was stored
	}
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: i.Namespace, PageSize: runsAsked,
		Query: fmt.Sprintf("WorkflowId = %s AND ExecutionStatus IN ('Completed', 'Canceled', 'Terminated', 'Failed', 'TimedOut') "+
			"AND CloseTime >= '%s'", step.Quote(id), since.UTC().Format(time.RFC3339)),
	}
	for left := runsAsked; ; {
		page, err := i.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return "", false, fmt.Errorf("list the runs of a conversation: %w", err)
		}
		for _, info := range page.GetExecutions() {
			if run, known, err = i.knows(ctx, id, info, to.Event.ID, before); known || err != nil {
				return run, known, err
			}
			if left--; left <= 0 {
				return "", false, nil
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return "", false, nil
		}
	}
}

// knows reports whether a closed run had taken an event, and returns it where it has answered the event. A run that ended
// early may have left the event unanswered: then it belongs to the recovery, which knows what may have begun and keeps the
// order, unless it is the recovery that asks.
func (i *Intake) knows(
	ctx context.Context, id string, info *workflowpb.WorkflowExecutionInfo, eventID string, before tried,
) (run string, known bool, err error) {
	run = info.GetExecution().GetRunId()
	switch status := info.GetStatus(); {
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		var result step.ConversationResult
		err = i.Temporal.GetWorkflow(ctx, id, run).Get(ctx, &result)
		if ctx.Err() != nil || overloaded(err) || unavailable(err) {
			return "", false, fmt.Errorf("read the result of run %s: %w", run, err)
		}
		if err == nil && slices.Contains(result.EventIDs, eventID) {
			return run, true, nil
		}
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, endedEarly(status):
		took, answered, err := i.took(ctx, id, run, eventID)
		switch {
		case err != nil:
			return "", false, fmt.Errorf("ask run %s about an event: %w", run, err)
		case answered:
			return run, true, nil
		case took && endedEarly(status) && !before.recovery:
			return "", true, nil
		}
	}
	return "", false, nil
}

// took reports whether a run without a result had taken an event, and whether it has answered it. The server keeps the
// Updates of a closed run as long as the run, and returns what became of one at once where no stage is waited for.
func (i *Intake) took(ctx context.Context, id, run, eventID string) (took, answered bool, err error) {
	for _, update := range []string{step.UpdateID(eventID), step.AgainID(eventID)} {
		is, err := i.Temporal.WorkflowService().PollWorkflowExecutionUpdate(ctx,
			&workflowservice.PollWorkflowExecutionUpdateRequest{Namespace: i.Namespace, UpdateRef: &updatepb.UpdateRef{
				WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, UpdateId: update,
			}})
		if _, none := errors.AsType[*serviceerror.NotFound](err); none {
			continue
		}
		if err != nil {
			return false, false, err
		}
		failed := is.GetOutcome().GetFailure().GetApplicationFailureInfo().GetType()
		return true, is.GetOutcome() != nil && failed != lostUpdate, nil
	}
	return false, false, nil
}

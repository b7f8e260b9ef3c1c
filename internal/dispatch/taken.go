package dispatch

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

// taken is what has become of an event that a run may have taken before.
type taken int

const (
	// notTaken: no run has the event, or none that answers it: it is offered to one.
	notTaken taken = iota
	// takenAndAnswered: a run has the event and has answered it.
	takenAndAnswered
	// leftToRecovery: a run that ended early took the event and did not answer it. Its history has the event, and the
	// recovery knows the events before it, and which of them may have begun.
	leftToRecovery
)

// leftBy returns what has become of an event that a run took and did not answer before it ended. Where the recovery itself
// offers the event, no other has it.
func leftBy(status enumspb.WorkflowExecutionStatus, a Arrival) taken {
	if EndedEarly(status) && !a.Recovery {
		return leftToRecovery
	}
	return notTaken
}

// runsAsked is how many runs of a conversation are asked about an event at most. An engine that publishes events with an
// early time, and ends its conversation after each, would have all of them asked for each event.
const runsAsked = 100

// earlier is what a conversation's closed runs know of an event.
type earlier struct {
	taken

	run        string // the run that has taken it, "" when its replies are all that is left
	endedEarly bool   // the latest run ended early: what it has left goes first
}

// before is what comes before another try of an event, or one that another reader may have made: an event that a run has
// taken is not offered, and the error is ErrDuplicate; another one is offered behind what the latest run has left.
func (dp *Dispatcher) before(ctx context.Context, to step.Address, a Arrival) (Taker, error) {
	id := step.ConversationID(to.ConversationKey)
	was, err := dp.takenBefore(ctx, to, a)
	switch {
	case err != nil:
		return Taker{}, err
	case was.taken == takenAndAnswered:
		return Taker{Workflow: id, Run: was.run}, ErrDuplicate
	case was.taken == leftToRecovery:
		return Taker{}, ErrDuplicate
	case was.endedEarly && !a.Recovery:
		return Taker{}, dp.recoverFirst(ctx, id, to.Event, a)
	}
	return Taker{}, nil
}

// takenBefore returns whether a closed run of a conversation has taken an event. A running one recognises its events itself.
// An event that this process tries again can only be in the latest run. One that another delivery has brought may come long
// after its run: its acknowledgement was lost with a server, the conversation was closed or its run was ended, and later
// rounds of it had runs of their own, closed ones and an open one, that do not know it. So all runs that ended since the
// event was stored are asked, up to runsAsked. Of a conversation whose runs the server does not keep any more only its
// replies are left. An event about which a server cannot be asked waits.
func (dp *Dispatcher) takenBefore(ctx context.Context, to step.Address, a Arrival) (was earlier, err error) {
	id := step.ConversationID(to.ConversationKey)
	described, err := dp.Temporal.DescribeWorkflowExecution(ctx, id, "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		if a.Redelivered && dp.Answers.Answered(ctx, to, a.Stored) {
			was.taken = takenAndAnswered
		}
		return was, nil
	}
	if err != nil {
		return was, fmt.Errorf("look at the latest run of a conversation: %w", err)
	}
	latest := described.GetWorkflowExecutionInfo()
	was.run, was.endedEarly = latest.GetExecution().GetRunId(), EndedEarly(latest.GetStatus())
	was.taken, err = dp.takenBy(ctx, id, latest, to.Event.ID, a)
	if was.taken != notTaken || err != nil || !a.Redelivered {
		return was, err
	}
	stored := a.Stored
	if stored.IsZero() {
		stored = time.Now().Add(-step.RepliesKept)
	}
	since := stored.Add(-step.ClockSlack)
	if started := latest.GetStartTime(); started != nil && started.AsTime().Before(since) {
		return was, nil // every earlier run ended before the event was stored
	}
	request := dp.closedSince(id, since)
	for left := runsAsked; ; {
		page, err := dp.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return was, fmt.Errorf("list the runs of a conversation: %w", err)
		}
		for _, info := range page.GetExecutions() {
			was.run = info.GetExecution().GetRunId()
			if was.taken, err = dp.takenBy(ctx, id, info, to.Event.ID, a); was.taken != notTaken || err != nil {
				return was, err
			}
			if left--; left <= 0 {
				return was, nil
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return was, nil
		}
	}
}

// closedSince returns the request for the runs of a conversation that have ended since a time.
func (dp *Dispatcher) closedSince(id string, since time.Time) *workflowservice.ListWorkflowExecutionsRequest {
	return &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: dp.Namespace, PageSize: runsAsked,
		Query: fmt.Sprintf("WorkflowId = %s AND ExecutionStatus IN "+
			"('Completed', 'Canceled', 'Terminated', 'Failed', 'TimedOut', 'ContinuedAsNew') AND CloseTime >= '%s'",
			step.Quote(id), since.UTC().Format(time.RFC3339)),
	}
}

// takenBy returns whether a run has taken an event: a completed run by its result, one that was cancelled, ended early or
// continued as new by its Updates. The run that continues another one knows its events, but may have ended without a result.
// A run that is open is not asked.
func (dp *Dispatcher) takenBy(
	ctx context.Context, id string, info *workflowpb.WorkflowExecutionInfo, eventID string, a Arrival,
) (taken, error) {
	run, status := info.GetExecution().GetRunId(), info.GetStatus()
	switch {
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		var result step.ConversationResult
		err := dp.Temporal.GetWorkflow(ctx, id, run).Get(ctx, &result)
		if ctx.Err() != nil || Overloaded(err) || unavailable(err) {
			return notTaken, fmt.Errorf("read the result of run %s: %w", run, err)
		}
		if err == nil && slices.Contains(result.EventIDs, eventID) {
			return takenAndAnswered, nil
		}
	case status == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, status == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
		EndedEarly(status):
		return dp.takenAsUpdate(ctx, id, info, eventID, a)
	}
	return notTaken, nil
}

// takenAsUpdate returns whether a run without a result has taken an event. The server keeps the Updates of a closed run as
// long as the run, and returns what became of one at once where no stage is waited for.
func (dp *Dispatcher) takenAsUpdate(
	ctx context.Context, id string, info *workflowpb.WorkflowExecutionInfo, eventID string, a Arrival,
) (taken, error) {
	run := info.GetExecution().GetRunId()
	for _, update := range []string{step.UpdateID(eventID), step.AgainID(eventID)} {
		is, err := dp.Temporal.WorkflowService().PollWorkflowExecutionUpdate(ctx,
			&workflowservice.PollWorkflowExecutionUpdateRequest{Namespace: dp.Namespace, UpdateRef: &updatepb.UpdateRef{
				WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: run}, UpdateId: update,
			}})
		if _, none := errors.AsType[*serviceerror.NotFound](err); none {
			continue
		}
		if err != nil {
			return notTaken, fmt.Errorf("ask run %s about an event: %w", run, err)
		}
		failed := is.GetOutcome().GetFailure().GetApplicationFailureInfo().GetType()
		if is.GetOutcome() != nil && failed != lostUpdate {
			return takenAndAnswered, nil
		}
		return leftBy(info.GetStatus(), a), nil
	}
	return notTaken, nil
}

// lostWith returns what has become of an event that a run had accepted, and not answered, when it ended.
func (dp *Dispatcher) lostWith(ctx context.Context, workflow, run string, a Arrival) (taken, error) {
	if a.Recovery {
		return notTaken, nil
	}
	ended, err := dp.Temporal.DescribeWorkflowExecution(ctx, workflow, run)
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return notTaken, nil
	}
	if err != nil {
		return notTaken, fmt.Errorf("look at run %s, which ended with the event: %w", run, err)
	}
	return leftBy(ended.GetWorkflowExecutionInfo().GetStatus(), a), nil
}

// EndedEarly reports whether a run ended by anything else than its own end.
func EndedEarly(status enumspb.WorkflowExecutionStatus) bool {
	switch status {
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return true
	}
	return false
}

package intake

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

const (
	// recoverEvery is how often runs that ended early are looked for.
	recoverEvery = 15 * time.Second
	// recoverBack is how far a starter looks back when it begins, recoverOverlap how far every time: visibility is written
	// a moment after the run has ended.
	recoverBack    = time.Hour
	recoverOverlap = 2 * time.Minute
	// recoverTimeout bounds one look.
	recoverTimeout = time.Minute
	// recoveredKept bounds the runs that are remembered as recovered.
	recoveredKept = 10_000
)

// Recover answers the events of runs that ended by anything else than their own end: terminated by an operator or by the
// server, failed, or timed out. Their messages were acknowledged when the run accepted them, so JetStream does not deliver
// them again; the run's history still has them. It looks until ctx ends. Any number of starters may do it: an event has one
// update id, and a conversation recognises the events that it has.
func (i *Intake) Recover(ctx context.Context) {
	done, _ := lru.New[string, struct{}](recoveredKept) // fails for a size below 1 only
	since := time.Now().Add(-recoverBack)
	tick := time.NewTicker(recoverEvery)
	defer tick.Stop()
	for {
		begun := time.Now()
		if err := i.recoverSince(ctx, since, done); err != nil {
			if ctx.Err() == nil {
				i.Log.WarnContext(ctx, "recovering runs that ended early failed, will retry", "retry_in", recoverEvery, "error", err)
			}
		} else {
			since = begun.Add(-recoverOverlap)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (i *Intake) recoverSince(ctx context.Context, since time.Time, done *lru.Cache[string, struct{}]) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: i.Namespace, PageSize: 100,
		Query: fmt.Sprintf("WorkflowType IN ('%s', '%s') AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') "+
			"AND CloseTime >= '%s'",
			step.WorkflowConversation, step.WorkflowStep, since.UTC().Format(time.RFC3339)),
	}
	for {
		page, err := i.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return fmt.Errorf("list runs that ended early: %w", err)
		}
		for _, run := range page.GetExecutions() {
			if done.Contains(run.GetExecution().GetRunId()) {
				continue
			}
			if err := i.recoverRun(ctx, run); err != nil {
				return fmt.Errorf("recover run %s of %s: %w", run.GetExecution().GetRunId(), run.GetExecution().GetWorkflowId(), err)
			}
			done.Add(run.GetExecution().GetRunId(), struct{}{})
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return nil
		}
	}
}

// recoverRun hands what a run has left unanswered to a new one.
func (i *Intake) recoverRun(ctx context.Context, run *workflowpb.WorkflowExecutionInfo) error {
	id, runID := run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId()
	events := i.Temporal.GetWorkflowHistory(ctx, id, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	left, err := readRemains(events, i.payloads())
	if err != nil {
		return err
	}
	for _, d := range left.deliveries {
		ctx := telemetry.WithTrace(ctx, telemetry.TraceID(d.Event.TraceID(left.owner())))
		i.Log.WarnContext(ctx, "event of a run that ended early handed over again", "workflow", id, "run_id", runID, "event",
			d.Event.ID,
			"type", d.Event.Type, "status", run.GetStatus().String())
		if err := i.handOverAgain(ctx, id, left, d); err != nil {
			return err
		}
		i.Metrics.Recovered()
	}
	return nil
}

// payloads returns the converter of histories.
func (i *Intake) payloads() converter.DataConverter {
	if i.Converter == nil {
		return step.DataConverter()
	}
	return i.Converter
}

func (i *Intake) handOverAgain(ctx context.Context, id string, left remains, d step.Delivery) error {
	again := tried{repeated: true, redelivered: true}
	if left.request != nil {
		return ignoreDuplicate(i.restartStep(ctx, id, *left.request))
	}
	err := i.updateState(ctx, left.state(), d, again)
	if outcomeOf(err).Reason() != "" { // no run takes it: it is as lost as it was, and the log has it
		i.Log.ErrorContext(ctx, "event of a run that ended early cannot be recovered", "workflow", id, "event", d.Event.ID,
			"error", err)
		return nil
	}
	return ignoreDuplicate(err)
}

func ignoreDuplicate(err error) error {
	if outcomeOf(err).Err() == nil {
		return nil
	}
	return err
}

// restartStep runs a step on its own again, under its old id, unless that was done already.
func (i *Intake) restartStep(ctx context.Context, id string, request step.Request) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	_, err := i.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: i.Queue, WorkflowTaskTimeout: WorkflowTaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    i.attributes(request.BotID, request.Delivery.Event),
		Priority:                                 temporal.Priority{FairnessKey: request.Tenant},
		StaticSummary:                            request.Bot + ": step " + shorten(request.Delivery.Event.Data.Step),
	}, step.WorkflowStep, request)
	return i.answered(ctx, err, id, request.Delivery.Event, tried{})
}

// unanswered is the delivery of a step that waited for entities when its run ended: they are gone with the run.
func unanswered(d step.Delivery) step.Delivery {
	d.Refused = fault.New(fault.Internal,
		"the run of the conversation ended while the step waited for entities: request it again")
	return d
}

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// acceptTimeout bounds one try to hand an event over. An endpoint that answers late delays the acceptance by one heartbeat
// of the workflow task, not by its own time. A try that is cut off is repeated under the same update id; it is longer than
// a task that was lost on its way to a stopped worker needs, so that an overloaded server is not asked again and again.
const acceptTimeout = 20 * time.Second

const (
	// busyFor is how long an event waits, in one try, for a run that is about to continue as new, busyEvery how often it asks.
	busyFor   = 2 * time.Second
	busyEvery = 50 * time.Millisecond
)

// Offer hands an event to its conversation, which is started with a fresh state when it does not run. The event's id is the
// update's id: handing it over twice is one Update. It returns the run that has the event, with ErrDuplicate when that has
// taken it before; a *Rejection is final, and after any other error the event can be offered again.
//
// The first try names the run that took the conversation's latest event, which costs the server least. Every later try
// uses nothing that this process remembers: what is remembered may be why the first one failed.
func (dp *Dispatcher) Offer(ctx context.Context, fresh step.State, d step.Delivery, a Arrival) (by Taker, err error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	id := step.ConversationID(fresh.ConversationKey)
	options := client.UpdateWorkflowOptions{
		WorkflowID:   id,
		UpdateID:     step.UpdateID(d.Event.ID),
		UpdateName:   step.UpdateName(d.Event.Type),
		Args:         []any{d},
		WaitForStage: client.WorkflowUpdateStageAccepted,
	}
	if !a.repeated() {
		options.RunID = dp.runs.get(id)
	} else if by, err = dp.before(ctx, step.Address{ConversationKey: fresh.ConversationKey, Event: d.Event}, a); err != nil {
		return by, err
	}
	asked := time.Now()
	for {
		by, err = dp.offer(ctx, fresh, d, options, a)
		err = dp.answered(ctx, err, id, d.Event, a)
		if !errors.Is(err, errBusy) || errors.Is(err, errBehind) || time.Since(asked) > busyFor {
			return by, err
		}
		options.RunID = ""
		select {
		case <-ctx.Done():
			return by, err
		case <-time.After(busyEvery):
		}
	}
}

// offer asks a conversation to take an event: the run that is named, else whichever runs, else a new one.
func (dp *Dispatcher) offer(
	ctx context.Context, fresh step.State, d step.Delivery, o client.UpdateWorkflowOptions, a Arrival,
) (Taker, error) {
	e := d.Event
	handle, err := client.WorkflowUpdateHandle(nil), error(nil)
	if o.RunID != "" {
		handle, err = dp.Temporal.UpdateWorkflow(ctx, o)
	}
	_, ended := errors.AsType[*serviceerror.NotFound](err)
	if ended {
		// The run stays the one that the next event asks: it is to find it ended, too, when this one becomes a dead letter.
		if err := dp.recoverFirst(ctx, o.WorkflowID, e, a); err != nil {
			return Taker{}, err
		}
	}
	if ended || o.RunID == "" {
		handle, err = dp.updateWithStart(ctx, fresh, e, o)
	}
	by := Taker{Workflow: o.WorkflowID}
	if err == nil {
		by.Result, err = resultOf(handle)
	}
	if handle != nil && lost(err) {
		// The run ended between accepting the event and answering it.
		t, failed := dp.lostWith(ctx, o.WorkflowID, handle.RunID(), a)
		if failed != nil {
			return Taker{}, failed
		}
		if t == leftToRecovery {
			dp.leaveToRecovery(ctx, o.WorkflowID, handle.RunID())
			return Taker{}, ErrDuplicate
		}
		// No recovery has it: a new run answers it under the same reply id.
		o.UpdateID, o.Args = step.AgainID(e.ID), []any{NotTwice(d)}
		if handle, err = dp.updateWithStart(ctx, fresh, e, o); err == nil {
			by.Result, err = resultOf(handle)
		}
	}
	if handle != nil {
		by.Run = handle.RunID()
	}
	if err != nil {
		dp.runs.forget(o.WorkflowID)
		return by, err
	}
	by.Accepted = true
	dp.runs.set(o.WorkflowID, by.Run)
	return by, nil
}

// recoverFirst has what the latest run of a conversation has left recovered before an event is offered. The event waits,
// from try to try, for as long as the recovery may take; after that it goes first, so that its own wait ends.
func (dp *Dispatcher) recoverFirst(ctx context.Context, workflow string, e schemas.Event, a Arrival) error {
	err := dp.Recovery.Latest(ctx, workflow)
	if err == nil {
		return nil
	}
	if a.Tries.behindFor(time.Now()) < behindMax {
		return fmt.Errorf("hand event %s to %s: %w: %w", e.ID, workflow, errBehind, err)
	}
	dp.Log.WarnContext(ctx, "recovering a run that ended early takes too long, a later event goes first", "workflow", workflow,
		"event", e.ID, "type", e.Type, "attempt", a.Tries.Count, "error", err)
	return nil
}

// leaveToRecovery leaves an event to the recovery of the run that has it. The recovery runs at once where it may, and the
// run stays the one that the next event asks, which finds it ended and is offered behind what is recovered.
func (dp *Dispatcher) leaveToRecovery(ctx context.Context, workflow, run string) {
	dp.runs.set(workflow, run)
	if err := dp.Recovery.Latest(ctx, workflow); err != nil && !errors.Is(err, ErrNoPlace) {
		dp.Log.WarnContext(ctx, "recovering a run that ended early failed, will retry", "workflow", workflow, "run_id", run,
			"error", err)
	}
}

func (dp *Dispatcher) updateWithStart(ctx context.Context, fresh step.State, e schemas.Event, o client.UpdateWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	o.RunID = "" // whichever runs
	start := dp.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       o.WorkflowID,
		TaskQueue:                dp.Queue,
		WorkflowTaskTimeout:      WorkflowTaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    dp.attributes(fresh.BotID, e),
		Priority:                 temporal.Priority{FairnessKey: fresh.Tenant},
		StaticSummary:            fresh.Bot + ": conversation " + shorten(dp.visibleID(fresh.BotID, e.Subject)),
	}, step.WorkflowConversation, fresh)
	return dp.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: o,
	})
}

// NotTwice rejects a step whose script may have begun: it may have called out, so it does not run again. A webhook is called
// again with the same webhook-id.
func NotTwice(d step.Delivery) step.Delivery {
	if d.Plan != nil && d.Plan.Code != nil {
		d.Refused = fault.New(fault.OutcomeUnknown,
			"the step's run ended while its script may have run: check whether it had its effect")
	}
	return d
}

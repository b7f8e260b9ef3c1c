package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// WorkflowTaskTimeout is how soon another worker takes over from one that died in the middle of a step. A step that takes
// longer than four fifths of it costs a heartbeat of the workflow task, three small events of history, for each of them.
const WorkflowTaskTimeout = 2 * time.Second

// acceptTimeout bounds one try to hand an event over. An endpoint that answers late delays the acceptance by one heartbeat
// of the workflow task, not by its own time.
const acceptTimeout = 20 * time.Second

// errDuplicate: the conversation knows the event already.
var errDuplicate = errors.New("the event was accepted before")

// update hands an event to its conversation, which is started when it does not run. The event's id is the update's id:
// handing it over twice is one Update.
//
// Most conversations run already, and a plain Update costs the server less than update-with-start; a conversation that is
// new costs one more request.
func (i *Intake) update(ctx context.Context, b *bot.Bot, d step.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	id := step.ConversationID(b.Tenant(), b.Name(), d.Event.Subject)
	options := client.UpdateWorkflowOptions{
		WorkflowID:   id,
		UpdateID:     d.Event.ID,
		UpdateName:   step.UpdateName(d.Event.Type),
		Args:         []any{d},
		WaitForStage: client.WorkflowUpdateStageAccepted,
	}
	handle, err := i.Temporal.UpdateWorkflow(ctx, options)
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		handle, err = i.updateWithStart(ctx, b, d.Event, options)
	}
	if err != nil {
		return i.refused(err, id, d.Event)
	}
	return i.refused(rejection(handle), id, d.Event)
}

func (i *Intake) updateWithStart(ctx context.Context, b *bot.Bot, e schemas.Event, o client.UpdateWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	start := i.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       o.WorkflowID,
		TaskQueue:                i.Queue,
		WorkflowTaskTimeout:      WorkflowTaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    attributes(b, e),
		StaticSummary:            b.Name() + ": conversation " + shorten(e.Subject),
	}, step.WorkflowConversation, step.State{
		Tenant: b.Tenant(), Bot: b.Name(), Conversation: e.Subject, IdleTimeout: bot.Duration(b.IdleTimeout()),
	})
	return i.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: o,
	})
}

// rejection is why the conversation's validator refused an Update, nil when it was accepted. A refusal is final at once,
// so asking with a context that has ended tells it apart from an Update that still runs.
func rejection(handle client.WorkflowUpdateHandle) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var refusal *temporal.ApplicationError
	if err := handle.Get(ended, nil); errors.As(err, &refusal) {
		return refusal
	}
	return nil
}

// startStep runs an event's step on its own. The event's id is part of the workflow's id: a redelivery finds the run,
// open or closed.
func (i *Intake) startStep(ctx context.Context, b *bot.Bot, d step.Delivery) error {
	e := d.Event
	if e.Type == schemas.TypeEntitiesCollected || e.Type == schemas.TypeConversationEnded {
		return bus.Reject(fault.BadEvent, fmt.Sprintf(
			"/type: bot %s has no conversations (ordering: none), so %s means nothing to it", b.Name(), e.Type))
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	id := step.ID(b.Tenant(), b.Name(), e.Subject, e.ID)
	_, err := i.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       id,
		TaskQueue:                                i.Queue,
		WorkflowTaskTimeout:                      WorkflowTaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    attributes(b, e),
		StaticSummary:                            b.Name() + ": step " + shorten(e.Data.Step),
	}, step.WorkflowStep, step.Request{Tenant: b.Tenant(), Bot: b.Name(), Conversation: e.Subject, Delivery: d})
	return i.refused(err, id, e)
}

// refused is the one place that turns Temporal's answer into a verdict.
func (i *Intake) refused(err error, id string, e schemas.Event) error {
	if err == nil {
		return nil
	}
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	var refusal *temporal.ApplicationError
	var invalid *serviceerror.InvalidArgument
	switch {
	case errors.As(err, &started):
		return errDuplicate
	case errors.As(err, &refusal) && refusal.Type() == step.RefusedDuplicate:
		return errDuplicate
	case errors.As(err, &refusal) && refusal.Type() == step.RefusedTooLarge:
		return bus.Reject(fault.TooLarge, refusal.Message())
	case errors.As(err, &invalid):
		return bus.Reject(fault.BadEvent, "Temporal refuses the event: "+invalid.Message)
	}
	i.Log.Warn("the event is not handed over yet", "workflow", id, "event", e.ID, "type", e.Type, "error", err)
	return fmt.Errorf("hand event %s to %s: %w", e.ID, id, err)
}

func attributes(b *bot.Bot, e schemas.Event) temporal.SearchAttributes {
	set := []temporal.SearchAttributeUpdate{
		temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(b.Tenant()),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(b.Name()),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeConversation).ValueSet(schemas.ConversationToken(e.Subject)),
	}
	if b.Ordering() == bot.OrderingNone {
		set = append(set, temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(e.Data.Step))
	}
	return temporal.NewSearchAttributes(set...)
}

// shorten keeps a name within what a summary takes (400 bytes).
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return schemas.ConversationToken(s)
}

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
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// WorkflowTaskTimeout is how soon another worker takes over from one that died in the middle of a step. A step that takes
// longer than four fifths of it costs a heartbeat of the workflow task, three small events of history, for each of them.
const WorkflowTaskTimeout = 2 * time.Second

// acceptTimeout bounds one try to hand an event over. An endpoint that answers late delays the acceptance by one heartbeat
// of the workflow task, not by its own time. A try that is cut off is repeated under the same update id; meanwhile its
// place among the events in flight is free for other conversations.
const acceptTimeout = 5 * time.Second

// update hands an event to its conversation, which is started when it does not run. The event's id is the update's id:
// handing it over twice is one Update.
//
// Most conversations run already, and a plain Update costs the server less than update-with-start; a conversation that is
// new costs one more request.
func (i *Intake) update(ctx context.Context, b *bot.Bot, d step.Delivery, received time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	id := step.ConversationID(b.ID().WithConversation(d.Event.Subject))
	options := client.UpdateWorkflowOptions{
		WorkflowID:   id,
		RunID:        i.runs.get(id),
		UpdateID:     d.Event.ID,
		UpdateName:   step.UpdateName(d.Event.Type),
		Args:         []any{d},
		WaitForStage: client.WorkflowUpdateStageAccepted,
	}
	handle, err := i.Temporal.UpdateWorkflow(ctx, options)
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		handle, err = i.updateWithStart(ctx, b, d.Event, options)
	}
	if err == nil {
		i.runs.set(id, handle.RunID())
		err = refusal(handle)
	}
	if lost(err) {
		// The run was terminated between accepting the event and answering it. A new run answers it under the same reply id.
		options.UpdateID += "/again"
		if handle, err = i.updateWithStart(ctx, b, d.Event, options); err == nil {
			i.runs.set(id, handle.RunID())
			err = refusal(handle)
		}
	}
	return i.verdict(err, id, d.Event, received)
}

func (i *Intake) updateWithStart(ctx context.Context, b *bot.Bot, e schemas.Event, o client.UpdateWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	o.RunID = "" // whichever runs
	start := i.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       o.WorkflowID,
		TaskQueue:                i.Queue,
		WorkflowTaskTimeout:      WorkflowTaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    attributes(b, e),
		StaticSummary:            b.Name() + ": conversation " + shorten(e.Subject),
	}, step.WorkflowConversation, step.State{
		ConversationKey: b.ID().WithConversation(e.Subject), IdleTimeout: bot.Duration(b.IdleTimeout()),
		EventsPerRun: step.EventsPerRun,
	})
	return i.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: o,
	})
}

// startStep runs an event's step on its own. The event's id is part of the workflow's id: a redelivery finds the run,
// open or closed.
func (i *Intake) startStep(ctx context.Context, b *bot.Bot, d step.Delivery, received time.Time) error {
	e := d.Event
	if e.Type == schemas.TypeEntitiesCollected || e.Type == schemas.TypeConversationEnded {
		return reject(fault.BadEvent, fmt.Sprintf(
			"/type: bot %s has no conversations (ordering: none), so %s means nothing to it", b.Name(), e.Type))
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	id := step.ID(b.ID().WithConversation(e.Subject), e.ID)
	_, err := i.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       id,
		TaskQueue:                                i.Queue,
		WorkflowTaskTimeout:                      WorkflowTaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    attributes(b, e),
		StaticSummary:                            b.Name() + ": step " + shorten(e.Data.Step),
	}, step.WorkflowStep, step.Request{ConversationKey: b.ID().WithConversation(e.Subject), Delivery: d})
	return i.verdict(err, id, e, received)
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

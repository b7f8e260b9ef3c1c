package intake

import (
	"context"
	"errors"
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
// of the workflow task, not by its own time. A try that is cut off is repeated under the same update id; it is longer than
// a task that was lost on its way to a stopped worker needs, so that an overloaded server is not asked again and again.
const acceptTimeout = 20 * time.Second

const (
	// busyFor is how long an event waits, in one try, for a run that is about to continue as new, busyEvery how often it asks.
	busyFor   = 2 * time.Second
	busyEvery = 50 * time.Millisecond
)

// update hands an event to its conversation, which is started when it does not run. The event's id is the update's id:
// handing it over twice is one Update.
//
// The first try names the run that took the conversation's latest event, which costs the server least. Every later try
// uses nothing that this process remembers: what is remembered may be why the first one failed.
func (i *Intake) update(ctx context.Context, b *bot.Bot, d step.Delivery, a arrival) error {
	to := step.Address{ConversationKey: b.ID().WithConversation(d.Event.Subject), Event: d.Event}
	fresh := newState(b.ID().WithConversation(d.Event.Subject), bot.Duration(b.IdleTimeout()))
	by, err := i.updateState(ctx, fresh, d, a)
	return i.answerAgain(ctx, to, a, by, err)
}

// newState returns the state with which a new run of a conversation starts.
func newState(key schemas.ConversationKey, idle bot.Duration) step.State {
	return step.State{
		ConversationKey: key, IdleTimeout: idle, EventsPerRun: step.EventsPerRun, Format: step.FormatLatest,
	}
}

// updateState is update with the state of a run that is new. It returns the run that has the event.
func (i *Intake) updateState(ctx context.Context, fresh step.State, d step.Delivery, a arrival) (by taker, err error) {
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
		options.RunID = i.runs.get(id)
	} else {
		to := step.Address{ConversationKey: fresh.ConversationKey, Event: d.Event}
		switch t, run, err := i.takenBefore(ctx, to, a); {
		case err != nil:
			return taker{}, err
		case t == takenAndAnswered:
			return taker{workflow: id, run: run}, errDuplicate
		case t == leftToRecovery:
			return taker{}, errDuplicate
		}
	}
	asked := time.Now()
	for {
		by, err = i.offer(ctx, fresh, d, options, a)
		err = i.answered(ctx, err, id, d.Event, a)
		if !errors.Is(err, errBusy) || time.Since(asked) > busyFor {
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

// taker is the run that has taken an event, now or before.
type taker struct {
	workflow, run string
	accepted      bool         // the run has the event as the Update that was asked for, which it may answer yet
	result        *step.Result // of that Update; nil: it still runs
}

// offer asks a conversation to take an event: the run that is named, else whichever runs, else a new one.
func (i *Intake) offer(
	ctx context.Context, fresh step.State, d step.Delivery, o client.UpdateWorkflowOptions, a arrival,
) (taker, error) {
	e := d.Event
	handle, err := client.WorkflowUpdateHandle(nil), error(nil)
	if o.RunID != "" {
		handle, err = i.Temporal.UpdateWorkflow(ctx, o)
	}
	_, ended := errors.AsType[*serviceerror.NotFound](err)
	if ended {
		if err := i.recoverLatest(ctx, o.WorkflowID); err != nil {
			i.runs.forget(o.WorkflowID)
			return taker{}, err
		}
	}
	if ended || o.RunID == "" {
		handle, err = i.updateWithStart(ctx, fresh, e, o)
	}
	by := taker{workflow: o.WorkflowID}
	if err == nil {
		by.result, err = resultOf(handle)
	}
	if handle != nil && lost(err) {
		// The run ended between accepting the event and answering it.
		t, failed := i.lostWith(ctx, o.WorkflowID, handle.RunID(), a)
		if failed != nil {
			return taker{}, failed
		}
		if t == leftToRecovery {
			i.leaveToRecovery(ctx, o.WorkflowID, handle.RunID())
			return taker{}, errDuplicate
		}
		// No recovery has it: a new run answers it under the same reply id.
		o.UpdateID, o.Args = step.AgainID(e.ID), []any{notTwice(d)}
		if handle, err = i.updateWithStart(ctx, fresh, e, o); err == nil {
			by.result, err = resultOf(handle)
		}
	}
	if handle != nil {
		by.run = handle.RunID()
	}
	if err != nil {
		i.runs.forget(o.WorkflowID)
		return by, err
	}
	by.accepted = true
	i.runs.set(o.WorkflowID, by.run)
	return by, nil
}

func (i *Intake) updateWithStart(ctx context.Context, fresh step.State, e schemas.Event, o client.UpdateWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	o.RunID = "" // whichever runs
	start := i.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       o.WorkflowID,
		TaskQueue:                i.Queue,
		WorkflowTaskTimeout:      WorkflowTaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    i.attributes(fresh.BotID, e),
		Priority:                 temporal.Priority{FairnessKey: fresh.Tenant},
		StaticSummary:            fresh.Bot + ": conversation " + shorten(i.visibleID(fresh.BotID, e.Subject)),
	}, step.WorkflowConversation, fresh)
	return i.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: o,
	})
}

// startStep runs an event's step on its own. The event's id is part of the workflow's id: a redelivery finds the run,
// open or closed.
func (i *Intake) startStep(ctx context.Context, b *bot.Bot, d step.Delivery, a arrival) error {
	e := d.Event
	if e.Type == schemas.TypeEntitiesCollected || e.Type == schemas.TypeConversationEnded {
		return rejectf(fault.BadEvent,
			"/type: bot %s does not have conversations (ordering: none), so it cannot take %s", b.Name(), e.Type)
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
		TypedSearchAttributes:                    i.attributes(b.ID(), e),
		Priority:                                 temporal.Priority{FairnessKey: b.ID().Tenant},
		StaticSummary:                            b.Name() + ": step " + shorten(e.Data.Step),
	}, step.WorkflowStep, step.Request{ConversationKey: b.ID().WithConversation(e.Subject), Delivery: d,
		Format: step.FormatLatest})
	by := taker{workflow: id, accepted: err == nil}
	if other, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		by.run = other.RunId
	}
	to := step.Address{ConversationKey: b.ID().WithConversation(e.Subject), Event: e}
	return i.answerAgain(ctx, to, a, by, i.answered(ctx, err, id, e, a))
}

// attributes are what a search finds a run by, as far as the bot file lets the ids of people be seen.
func (i *Intake) attributes(owner schemas.BotID, e schemas.Event) temporal.SearchAttributes {
	set := []temporal.SearchAttributeUpdate{
		temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(owner.Tenant),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(owner.Bot),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeConversation).ValueSet(i.visibleID(owner, e.Subject)),
	}
	if e.Data.Step != "" {
		set = append(set, temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(e.Data.Step))
	}
	if e.Data.User != nil && e.Data.User.ID != "" && i.visibility(owner).User {
		set = append(set, temporal.NewSearchAttributeKeyKeyword(step.AttributeUser).ValueSet(step.Searchable(e.Data.User.ID)))
	}
	return temporal.NewSearchAttributes(set...)
}

// visibleID is a conversation's id in search attributes and summaries.
func (i *Intake) visibleID(owner schemas.BotID, id string) string {
	if !i.visibility(owner).Conversation {
		return schemas.ConversationToken(id)
	}
	return step.Searchable(id)
}

// visibility is what a bot lets be seen: nothing while its file is not known.
func (i *Intake) visibility(owner schemas.BotID) bot.Visibility {
	if b, known := i.Bots.Current().Bot(owner); known {
		return b.Visibility()
	}
	return bot.Visibility{}
}

// shorten keeps a name within what a summary takes (400 bytes).
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return schemas.ConversationToken(s)
}

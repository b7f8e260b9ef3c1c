package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// Queues keep the steps that wait in the background. *store.Queues is one.
type Queues interface {
	Add(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error
	// AddAgain is Add for an entry that may be stored already.
	AddAgain(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error
	Head(ctx context.Context, owner schemas.BotID, step string) (store.QueueHead, error)
	// Remove removes the entry of a sequence and an id from the queue of a step; "" is any id.
	Remove(ctx context.Context, owner schemas.BotID, step string, sequence uint64, id string) error
}

// Wake starts the workflow of a background queue. The one of Activities.Wake signals it when it runs, that of
// Activities.StartQueue leaves it as it is.
type Wake func(ctx context.Context, q step.Queue) error

// Enqueue puts a step into its background queue and wakes the queue's workflow. A queue that is full, or a step that is too
// large for it, fails for good.
func (a *Activities) Enqueue(ctx context.Context, q step.Queued) error {
	add := a.Queues.Add
	if a.mayBeQueued(ctx) {
		add = a.Queues.AddAgain
	}
	return a.enqueue(ctx, q, add)
}

// mayBeQueued reports whether an earlier try of Enqueue may have stored its entry: the first one is a local activity, the
// later ones are normal ones, and a worker that was lost may have made one. That can only be the first entry of a run that
// came from another worker: the later ones are this worker's own.
func (a *Activities) mayBeQueued(ctx context.Context) bool {
	info := activity.GetInfo(ctx)
	reassigned := a.queuedBefore.Remove(info.WorkflowExecution.RunID)
	return reassigned || !info.IsLocalActivity || info.Attempt > 1
}

func (a *Activities) enqueue(
	ctx context.Context, q step.Queued,
	add func(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error,
) error {
	plan := q.Webhook.Plan
	data, err := schemas.Marshal(q)
	if err != nil {
		return nonRetryable(fault.Wrap(fault.Internal, err, "step %s cannot be written as JSON", plan.Step))
	}
	err = add(ctx, plan.WithConversation(q.Conversation), plan.Step, q.Webhook.Event.ID, data)
	if f, refused := errors.AsType[*fault.Fault](err); refused {
		a.Log.WarnContext(ctx, "background queue rejected step", "tenant", plan.Tenant, "bot", plan.Bot, "step", plan.Step,
			"event", q.Webhook.Event.ID, "kind", f.Kind, "error", f.Message)
		return nonRetryable(f)
	}
	if err != nil {
		return err
	}
	wake := a.Wake
	if a.waitsBehindAnother(ctx, q) {
		wake = a.StartQueue
	}
	if err := wake(ctx, step.Queue{BotID: plan.BotID, Step: plan.Step}); err != nil {
		return fmt.Errorf("wake the queue of step %s: %w", plan.Step, err)
	}
	return nil
}

// waitsBehindAnother reports whether the queue of a stored step begins with another one. The run that works on that one
// looks for the next when it is done, without a signal: a run takes 10,000 of them, and may wait for hours while an endpoint
// is paused.
func (a *Activities) waitsBehindAnother(ctx context.Context, q step.Queued) bool {
	stored, err := a.Queues.Head(ctx, q.Webhook.Plan.BotID, q.Webhook.Plan.Step)
	if err != nil || stored.Sequence == 0 {
		return false
	}
	head, ok := readQueued(stored.Data)
	return ok && (head.Conversation != q.Conversation || head.Webhook.Event.ID != q.Webhook.Event.ID)
}

// entryCurrent is how long after a step was read from its queue its entry is not looked for.
const entryCurrent = time.Second

// stillQueued reports whether the queue of a step that is worked on begins with its entry, as it does until the step has
// ended, unless the entry was deleted. A queue that cannot be read shows nothing: then the step goes on.
func (a *Activities) stillQueued(ctx context.Context, of schemas.ConversationKey, stepName, eventID string) bool {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	stored, err := a.Queues.Head(ctx, of.BotID, stepName)
	if err != nil {
		return true
	}
	head, ok := readQueued(stored.Data)
	return ok && head.Conversation == of.Conversation && head.Webhook.Event.ID == eventID
}

// deletedFromQueue reports whether a reply is that by which a queue's run accepts a step whose entry was deleted meanwhile:
// what the conversation has published was deleted with it.
func (a *Activities) deletedFromQueue(ctx context.Context, in step.PublishInput) bool {
	accepted := repliedOf(in.Reply)
	if !in.Shared || accepted == nil {
		return false
	}
	return !a.stillQueued(ctx, in.WithConversation(in.Reply.Subject), accepted.Step, accepted.EventID)
}

// readQueued reads an entry; one that is not ok was written by an incompatible release.
func readQueued(data []byte) (q step.Queued, ok bool) {
	return q, json.Unmarshal(data, &q) == nil && q.Webhook.Plan.Webhook != nil
}

// ReadQueueHead reads the oldest step of a background queue; its sequence is 0 when the queue is empty. An entry that cannot
// be read was written by an incompatible release: it is logged and taken off, so that the queue goes on.
func (a *Activities) ReadQueueHead(ctx context.Context, q step.Queue) (step.Queued, error) {
	for {
		stored, err := a.Queues.Head(ctx, q.BotID, q.Step)
		if err != nil || stored.Sequence == 0 {
			return step.Queued{}, err
		}
		if head, ok := readQueued(stored.Data); ok {
			head.Sequence, head.Entry = stored.Sequence, stored.ID
			return head, nil
		}
		a.Log.ErrorContext(ctx, "background queue entry dropped, not readable",
			"tenant", q.Tenant, "bot", q.Bot, "step", q.Step, "sequence", stored.Sequence, "bytes", len(stored.Data))
		if err := a.Queues.Remove(ctx, q.BotID, q.Step, stored.Sequence, stored.ID); err != nil {
			return step.Queued{}, err
		}
	}
}

// RemoveQueueHead takes a step that was worked on off its queue. A run whose task an earlier release has completed passes
// no entry.
func (a *Activities) RemoveQueueHead(ctx context.Context, sequence uint64, of step.QueueEntry) error {
	return a.Queues.Remove(ctx, of.BotID, of.Step, sequence, of.ID)
}

package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Queues keep the steps that wait in the background. *store.Queues is one.
type Queues interface {
	Add(ctx context.Context, key schemas.ConversationKey, step, eventID string, data []byte) error
	Head(ctx context.Context, owner schemas.BotID, step string) (data []byte, sequence uint64, err error)
	Remove(ctx context.Context, sequence uint64) error
}

// Wake starts the workflow of a background queue, or signals the running one.
type Wake func(ctx context.Context, q step.Queue) error

// Enqueue puts a step into its background queue and wakes the queue's workflow. A queue that is full, or a step that is too
// large for it, fails for good.
func (a *Activities) Enqueue(ctx context.Context, q step.Queued) error {
	plan := q.Webhook.Plan
	data, err := schemas.Marshal(q)
	if err != nil {
		return final(fault.Wrap(fault.Internal, err, "step %s cannot be written as JSON", plan.Step))
	}
	err = a.Queues.Add(ctx, plan.WithConversation(q.Conversation), plan.Step, q.Webhook.Event.ID, data)
	if f, refused := errors.AsType[*fault.Fault](err); refused {
		a.Log.WarnContext(ctx, "a background queue refuses a step", "tenant", plan.Tenant, "bot", plan.Bot, "step", plan.Step,
			"event", q.Webhook.Event.ID, "kind", f.Kind, "message", f.Message)
		return final(f)
	}
	if err != nil {
		return err
	}
	if err := a.Wake(ctx, step.Queue{BotID: plan.BotID, Step: plan.Step}); err != nil {
		return fmt.Errorf("wake the queue of step %s: %w", plan.Step, err)
	}
	return nil
}

// ReadQueueHead reads the oldest step of a background queue; its sequence is 0 when the queue is empty. An entry that cannot
// be read was written by an incompatible release: it is logged and taken off, so that the queue goes on.
func (a *Activities) ReadQueueHead(ctx context.Context, q step.Queue) (step.Queued, error) {
	for {
		data, sequence, err := a.Queues.Head(ctx, q.BotID, q.Step)
		if err != nil || sequence == 0 {
			return step.Queued{}, err
		}
		var head step.Queued
		if err := json.Unmarshal(data, &head); err == nil && head.Webhook.Plan.Webhook != nil {
			head.Sequence = sequence
			return head, nil
		}
		a.Log.ErrorContext(ctx, "an entry of a background queue cannot be read: it is dropped",
			"tenant", q.Tenant, "bot", q.Bot, "step", q.Step, "sequence", sequence, "bytes", len(data))
		if err := a.Queues.Remove(ctx, sequence); err != nil {
			return step.Queued{}, err
		}
	}
}

// RemoveQueueHead takes a step that was worked on off its queue.
func (a *Activities) RemoveQueueHead(ctx context.Context, sequence uint64) error {
	return a.Queues.Remove(ctx, sequence)
}

package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Queue works off the background queue of one step of a bot: one request after another, in the order in which they came.
// The queue itself is kept in JetStream, which bounds it; the run holds no more than the step in hand. It ends when the
// queue is empty, and is started again, or woken, by the next request. A run that an operator cancels ends the request in
// hand and leaves the others to the next run, which a worker begins within a minute; runs before FormatKeepsAccepted end
// all of them.
func Queue(ctx workflow.Context, in step.Queue) error {
	wake := workflow.GetSignalChannel(ctx, step.SignalQueued)
	for {
		drain(wake)
		var head step.Queued
		if err := reliably(ctx, step.ActivityQueueHead, "look", &head, in); err != nil {
			return err
		}
		if head.Sequence == 0 {
			if wake.Len() > 0 { // the server does not end a run with a signal that it did not read
				continue
			}
			return nil
		}
		if err := ctx.Err(); err != nil && in.Format >= step.FormatKeepsAccepted {
			return err
		}
		workflow.SetCurrentDetails(ctx, "Works on event `"+head.Webhook.Event.ID+"` of conversation `"+head.Conversation+"`")
		if err := work(ctx, in, head); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil && in.Format >= step.FormatKeepsAccepted {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			in.Format = step.FormatLatest
			return workflow.NewContinueAsNewError(ctx, step.WorkflowQueue, in) // the next run looks first: no wake-up is lost
		}
	}
}

// work calls the endpoint for one step, publishes how that ended, and takes the step off the queue: in this order, so
// that a run that dies repeats the call (same webhook-id) and the reply (same id) rather than losing either.
func work(ctx workflow.Context, in step.Queue, head step.Queued) error {
	result, failed := callWebhook(ctx, withDeadline(ctx, head.Webhook), nil, nil)
	data := schemas.StepReplied{
		EventID: head.Webhook.Event.AskedID(), Step: in.Step, Outcome: schemas.OutcomeSuccess,
		Conversation: schemas.ConversationOpen, Attempts: result.Attempts, Workflow: reference(ctx),
	}
	if failed != nil {
		data.Outcome, data.Error = schemas.OutcomeFailure, step.ErrorOf(failed)
	}
	publishAccepted(ctx, in, head)
	publish(ctx, addressOf(in, head), schemas.TypeStepLate, data)
	entry := step.QueueEntry{BotID: in.BotID, Step: in.Step, ID: head.Entry}
	return reliably(ctx, step.ActivityQueueDone, "done", nil, head.Sequence, entry)
}

// publishAccepted publishes that a step was accepted, as its conversation does: a queue that is woken before the reply of
// the conversation is stored would publish the end of the step first. Both replies have one id, so one is stored. Where it
// may be deleted already it is not published again.
func publishAccepted(ctx workflow.Context, in step.Queue, head step.Queued) {
	arrived, now := head.Webhook.Arrived, workflow.Now(ctx)
	if in.Format < step.FormatKeepsAccepted || head.Workflow.ID == "" || head.Webhook.Event.Repeats() != "" ||
		now.Sub(arrived) > step.RepliesKept {
		return
	}
	data := accepted(head.Webhook, nil)
	data.Workflow = head.Workflow
	to := addressOf(in, head)
	reply, err := to.Reply(schemas.TypeStepReplied, now, data)
	if reply.Sent, reply.Shared = arrived, true; err == nil {
		_, err = store(ctx, schemas.TypeStepReplied, reply)
	}
	logUnpublished(ctx, to, schemas.TypeStepReplied, err)
}

func addressOf(in step.Queue, head step.Queued) step.Address {
	return step.Address{ConversationKey: in.BotID.WithConversation(head.Conversation), Event: head.Webhook.Event,
		Stored: head.Webhook.Stored}
}

// enqueue puts a step into its background queue; the fault is why the queue does not take it.
func enqueue(ctx workflow.Context, q step.Queued) *fault.Fault {
	if err := reliably(ctx, step.ActivityEnqueue, q.Webhook.Plan.Step+": into the queue", nil, q); err != nil {
		return faultOf(err)
	}
	return nil
}

func drain(wake workflow.ReceiveChannel) {
	for wake.ReceiveAsync(nil) {
	}
}

// queued reports whether a step's requests wait in a background queue.
func queued(p *bot.Plan) bool { return p.Webhook != nil && p.Webhook.Mode == bot.ModeBackground }

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
// queue is empty, and is started again, or woken, by the next request.
func Queue(ctx workflow.Context, in step.Queue) error {
	wake := workflow.GetSignalChannel(ctx, step.SignalQueued)
	for {
		drain(wake)
		var head step.Queued
		if err := reliably(ctx, step.ActivityQueueHead, "look", in, &head); err != nil {
			return err
		}
		if head.Sequence == 0 {
			if wake.Len() > 0 { // the server does not end a run with a signal that it did not read
				continue
			}
			return nil
		}
		workflow.SetCurrentDetails(ctx, "Works on event `"+head.Webhook.Event.ID+"` of conversation `"+head.Conversation+"`")
		if err := work(ctx, in, head); err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, step.WorkflowQueue, in) // the next run looks first: no wake-up is lost
		}
	}
}

// work calls the endpoint for one step, publishes how that ended, and takes the step off the queue: in this order, so
// that a run that dies repeats the call (same webhook-id) and the reply (same id) rather than losing either.
func work(ctx workflow.Context, in step.Queue, head step.Queued) error {
	result, failed := callWebhook(ctx, withDeadline(ctx, head.Webhook), nil)
	data := schemas.StepReplied{
		EventID: head.Webhook.Event.AskedID(), Step: in.Step, Outcome: schemas.OutcomeSuccess,
		Conversation: schemas.ConversationOpen, Attempts: result.Attempts, Workflow: reference(ctx),
	}
	if failed != nil {
		data.Outcome, data.Error = schemas.OutcomeFailure, step.ErrorOf(failed)
	}
	to := step.Address{ConversationKey: in.BotID.WithConversation(head.Conversation), Event: head.Webhook.Event}
	publish(ctx, to, schemas.TypeStepLate, data)
	return reliably(ctx, step.ActivityQueueDone, "done", head.Sequence, nil)
}

// enqueue puts a step into its background queue; the fault is why the queue does not take it.
func enqueue(ctx workflow.Context, q step.Queued) *fault.Fault {
	if err := reliably(ctx, step.ActivityEnqueue, q.Webhook.Plan.Step+": into the queue", q, nil); err != nil {
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

package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// publish puts one reply on NATS and returns its id once JetStream has stored it. It does not give up while NATS is away.
func publish(ctx workflow.Context, to step.Address, replyType string, data any) string {
	in, err := to.Reply(replyType, workflow.Now(ctx), data)
	if err == nil {
		_, err = store(ctx, replyType, in)
	}
	logUnpublished(ctx, to, replyType, err)
	return in.Reply.ID
}

func logUnpublished(ctx workflow.Context, to step.Address, replyType string, err error) {
	if err != nil {
		workflow.GetLogger(ctx).Error("publishing reply failed", "event", to.Event.ID, "trace_id",
			to.Event.TraceID(to.BotID),
			"type", replyType, "error", err)
	}
}

// publishReplied publishes the end of a step and returns what the engine got. A reply that was stored already stands:
// another attempt of the step, in a worker that was taken for lost, has published it; then what this attempt wrote to the
// user's details is undone. The data of a reply that NATS can never take is replaced by one that reports it. Closing is the
// conversation.closed that follows the reply, nil when there is none; only what is published of it is reported.
func publishReplied(
	ctx workflow.Context, to step.Address, data schemas.StepReplied, answer step.WebhookResult, closing *schemas.Reply,
) (id string, sent schemas.StepReplied, published step.Published) {
	in, err := to.Reply(schemas.TypeStepReplied, workflow.Now(ctx), data)
	if err == nil {
		in.Wrote, in.Replied, in.Closing = answer.Wrote, answer.Replied, closing
		published, err = store(ctx, schemas.TypeStepReplied, in)
	}
	switch {
	case err == nil && published.Stored != nil:
		return in.Reply.ID, *published.Stored, published
	case err == nil:
		return in.Reply.ID, data, published
	}
	sent = step.WithoutContent(data)
	return publish(ctx, to, schemas.TypeStepReplied, sent), sent, step.Published{}
}

// store puts a reply on NATS. The type is that which the Temporal UI shows: a repeated step's end is published as another.
func store(ctx workflow.Context, replyType string, in step.PublishInput) (published step.Published, err error) {
	err = reliably(ctx, step.ActivityPublish, replyType, &published, in)
	return published, err
}

// adopt makes the end of a step that the engine has read part of the conversation.
func (c *conversation) adopt(read schemas.StepReplied) {
	if read.Outcome != schemas.OutcomeSuccess && read.Outcome != schemas.OutcomeFailure {
		return
	}
	if read.ConversationDetails != nil {
		c.state.ConversationDetails = read.ConversationDetails
	}
	c.setVariables(read.Variables)
}

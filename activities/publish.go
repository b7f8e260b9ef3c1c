package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// replyTimeout is how long the reply is tried with the answer. With keepTimeout it lies within what an activity gets above
// its HTTP time-out; a NATS that needs longer is the workflow's to wait for.
const replyTimeout = 500 * time.Millisecond

// reply publishes the end of a step that was answered and returns the reply's id, "" when NATS did not take it.
func (c *call) reply(ctx context.Context, result *step.WebhookResult) string {
	in := &c.in
	result.FitVariables(in.Variables)
	data := in.Replied(*result, nil)
	run := activity.GetInfo(ctx).WorkflowExecution
	data.Workflow = schemas.WorkflowRef{ID: run.ID, RunID: run.RunID}
	to := step.Address{ConversationKey: in.Plan.BotID.WithConversation(in.Event.Subject), Event: in.Event}
	publish, err := to.Reply(schemas.TypeStepReplied, time.Now(), data)
	if err != nil {
		return "" // the workflow comes to the same and logs it
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if err := c.PublishReply(ctx, publish); err != nil {
		return ""
	}
	return publish.Reply.ID
}

// PublishReply puts one reply on NATS, trying again until its context ends. A reply that no message can hold fails for
// good with the type too_large.
func (a *Activities) PublishReply(ctx context.Context, in step.PublishInput) error {
	started := time.Now()
	err := a.Publisher.PublishReply(ctx, in.BotID, in.Reply)
	if err == nil {
		a.Metrics.Reply(in.BotID, in.Reply.Type, time.Since(started))
		return nil
	}
	a.Log.WarnContext(ctx, "the reply is not published yet",
		"tenant", in.Tenant, "bot", in.Bot, "conversation", in.Reply.Subject, "reply", in.Reply.ID, "error", err)
	f := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Kind),
		temporal.ApplicationErrorOptions{NonRetryable: f.Kind == fault.TooLarge})
}

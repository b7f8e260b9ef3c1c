package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// publishLocally bounds the first try to publish. Longer outages of NATS become a normal activity: a local one would
	// add history events with every heartbeat of its workflow task.
	publishLocally = 5 * time.Second
	// publishAttempt bounds one attempt of the normal activity; the attempts go on until NATS is back.
	publishAttempt = 30 * time.Second
)

// address says whose reply it is and what it answers.
type address struct {
	tenant, bot, conversation string
	event                     schemas.Event
}

// publish puts one reply on NATS and returns its id once JetStream has stored it. It does not give up while NATS is away.
func publish(ctx workflow.Context, to address, replyType string, data any) string {
	id, err := publishData(ctx, to, replyType, data)
	if err != nil {
		workflow.GetLogger(ctx).Error("a reply could not be published", "event", to.event.ID, "type", replyType, "error", err)
	}
	return id
}

// publishReplied publishes the end of a step and returns what the engine got: the data of a reply that NATS can never take
// is replaced by one that says so.
func publishReplied(ctx workflow.Context, to address, data schemas.StepReplied) (id string, sent schemas.StepReplied) {
	id, err := publishData(ctx, to, schemas.TypeStepReplied, data)
	if err == nil {
		return id, data
	}
	sent = withoutContent(data)
	return publish(ctx, to, schemas.TypeStepReplied, sent), sent
}

func publishData(ctx workflow.Context, to address, replyType string, data any) (string, error) {
	ctx, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	reply, err := schemas.NewReply(to.tenant, to.bot, to.conversation, to.event.ID, replyType, workflow.Now(ctx), data)
	if err != nil {
		return "", err
	}
	reply.TraceParent, reply.TraceState = to.event.TraceParent, to.event.TraceState
	return reply.ID, send(ctx, step.PublishInput{Tenant: to.tenant, Bot: to.bot, Reply: reply})
}

// withoutContent is the reply without what made it too large.
func withoutContent(r schemas.StepReplied) schemas.StepReplied {
	return schemas.StepReplied{
		EventID: r.EventID, Step: r.Step, Outcome: schemas.OutcomeFailure, Conversation: r.Conversation, Attempts: r.Attempts,
		Error:    errorOf(fault.New(fault.TooLarge, "the reply is larger than a message on NATS may be")),
		Workflow: r.Workflow,
	}
}

func send(ctx workflow.Context, in step.PublishInput) error {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: publishLocally,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             in.Reply.Type,
	})
	err := workflow.ExecuteLocalActivity(local, step.ActivityPublish, in).Get(local, nil)
	if err == nil || permanent(err) {
		return err
	}
	normal := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: publishAttempt,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 10 * time.Second},
		Summary:             in.Reply.Type,
	})
	return workflow.ExecuteActivity(normal, step.ActivityPublish, in).Get(normal, nil)
}

func permanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

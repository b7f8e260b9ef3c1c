package activities

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// ReadAnswer reads what an endpoint posted to the callback address as if it had been its answer. A body that cannot be read
// fails for good, with the error code as the error's type and the place in its message.
func (a *Activities) ReadAnswer(ctx context.Context, in step.AnswerInput) (step.WebhookResult, error) {
	d, err := a.Dialects.Get(in.Webhook.Plan.Dialect)
	if err != nil {
		return step.WebhookResult{}, final(err)
	}
	answer, err := d.Decode(contextOf(in.Webhook, in.Webhook.Progress), in.Body)
	if err != nil {
		a.Log.InfoContext(ctx, "call back refused", "event", in.Webhook.Event.ID, "step", in.Webhook.Plan.Step,
			"kind", fault.Of(err).Kind, "message", fault.Of(err).Message)
		return step.WebhookResult{}, final(err)
	}
	return step.WebhookResult{Answer: answer}, nil
}

// contextOf is what a dialect may know of a step.
func contextOf(in step.WebhookInput, p step.Progress) dialect.Context {
	return dialect.Context{
		Plan: in.Plan, Event: in.Event, User: in.User, ConversationNo: in.ConversationNo, Entities: in.Entities,
		ConversationDetails: in.ConversationDetails, UserDetails: p.UserDetails, Variables: in.Variables,
		Params: in.Params, Round: in.Round,
	}
}

// final is an error that repeating the activity does not resolve.
func final(err error) error {
	f := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Kind), temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

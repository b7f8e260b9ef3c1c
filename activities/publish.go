package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// PublishReply puts one reply on NATS, trying again until its context ends. A reply that no message can hold fails for
// good with the type too_large.
func (a *Activities) PublishReply(ctx context.Context, in step.PublishInput) error {
	started := time.Now()
	err := a.Publisher.PublishReply(ctx, in.Tenant, in.Bot, in.Reply)
	if err == nil {
		a.Metrics.Reply(in.Tenant, in.Bot, in.Reply.Type, time.Since(started))
		return nil
	}
	a.Log.WarnContext(ctx, "the reply is not published yet",
		"tenant", in.Tenant, "bot", in.Bot, "conversation", in.Reply.Subject, "reply", in.Reply.ID, "error", err)
	f := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Kind),
		temporal.ApplicationErrorOptions{NonRetryable: f.Kind == fault.TooLarge})
}

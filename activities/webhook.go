package activities

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// CallWebhook makes one attempt of a webhook step: encode, sign, send, decode. It serves as a local activity (the first
// attempt) and as a normal one (the attempts after it, retried by the server).
//
// A failed attempt is an ApplicationError whose type is the failure word and whose details are a step.Progress. It is
// retryable as long as another attempt is allowed and can start before the step's deadline; Temporal has no jitter and
// knows no Retry-After, so the wait is always our own (NextRetryDelay).
func (a *Activities) CallWebhook(ctx context.Context, in step.WebhookInput) (step.WebhookResult, error) {
	d, err := a.Dialects.Get(in.Plan.Dialect)
	if err != nil {
		return step.WebhookResult{}, a.failure(ctx, in, in.Progress, fault.Of(err))
	}
	c := &call{Activities: a, in: in, dialect: d, progress: resume(ctx, in.Progress)}
	stop := heartbeat(ctx, c.progress)
	defer stop()
	answer, callsBack, failed := c.attempt(ctx)
	if failed != nil {
		stop() // before failure tells the last word
		return step.WebhookResult{}, a.failure(ctx, in, c.progress, failed)
	}
	result := resultOf(answer)
	result.CallsBack, result.Attempts = callsBack, c.progress.Attempts
	c.keepUserDetails(ctx, answer, &result)
	if in.Reply && !callsBack {
		result.ReplyID = c.reply(ctx, &result)
	}
	return result, nil
}

// failure turns a fault into the error by which Temporal, or the workflow, knows how to go on.
func (a *Activities) failure(ctx context.Context, in step.WebhookInput, p step.Progress, f *fault.Fault) error {
	p.Fault, p.RetryIn = f, retryIn(in, p, f)
	info := activity.GetInfo(ctx)
	if !info.IsLocalActivity {
		activity.RecordHeartbeat(ctx, p) // the attempts survive into the next attempt of this activity
	}
	a.Log.InfoContext(ctx, "attempt failed", "workflow", info.WorkflowExecution.ID, "event", in.Event.ID,
		"step", in.Plan.Step, "attempt", len(p.Attempts), "kind", f.Kind, "status", f.Status, "message", f.Message,
		"cause", causeOf(f), "retry_in", p.RetryIn)
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Kind), temporal.ApplicationErrorOptions{
		NonRetryable:   p.RetryIn <= 0,
		NextRetryDelay: p.RetryIn,
		Category:       temporal.ApplicationErrorCategoryBenign,
		Details:        []any{p},
	})
}

// causeOf is what an operator may read of a fault's cause: never a URL, its query may hold a token.
func causeOf(f *fault.Fault) error {
	cause := errors.Unwrap(f)
	if with, ok := errors.AsType[*url.Error](cause); ok {
		return with.Err
	}
	return cause
}

func (a *Activities) note(ctx context.Context, in step.WebhookInput, attempt schemas.Attempt) {
	result := attempt.Error
	if result == "" || result == string(fault.Status) {
		result = strconv.Itoa(attempt.Status/100) + "xx"
	}
	took := time.Duration(attempt.TotalMs * float64(time.Millisecond))
	a.Metrics.Attempt(in.Plan.BotID, in.Plan.Step, result, took)
	a.Log.DebugContext(ctx, "attempt", "event", in.Event.ID, "step", in.Plan.Step, "attempt", attempt.N, "result", result,
		"ms", attempt.TotalMs)
}

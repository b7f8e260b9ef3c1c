package activities

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// CallWebhook makes one attempt of a webhook step: encode, sign, send, decode. It serves as a local activity (the first
// attempt) and as a normal one (the attempts after it, retried by the server). A repetition of the activity in the same
// process joins the attempt that it began.
//
// A failed attempt is an ApplicationError whose type is the error code and whose details are a step.Progress. It is
// retryable as long as another attempt is allowed and can start before the step's deadline, or a background step waits for
// an endpoint that is paused; Temporal has no jitter and knows no Retry-After, so the wait is always our own
// (NextRetryDelay).
func (a *Activities) CallWebhook(ctx context.Context, in step.WebhookInput) (step.WebhookResult, error) {
	p := resume(ctx, in)
	left := clockOf(ctx, in, p)
	if p.Final() {
		return step.WebhookResult{}, a.failure(ctx, in, left, attempted{failed: p.Fault, progress: p, adopted: p.Replied})
	}
	key := flight.KeyOf(ctx, in.Plan.Tenant, in.Event.Subject, in.Event.ID, len(p.Attempts)+1)
	attempt := a.attempts.Find(key)
	if attempt == nil {
		p = p.CountLost()
		key.N = len(p.Attempts) + 1
		if a.asActivity(ctx, in, p) {
			return step.WebhookResult{AsActivity: true, HeartbeatTimeout: a.heartbeatTimeout()}, nil
		}
		attempt = a.attempts.JoinOrStart(ctx, a.Log, key, flight.Plan[attempted]{
			Make: func(ctx context.Context, f *flight.Flight[attempted]) attempted {
				c := &call{Activities: a, in: in, clock: left, flight: f, progress: p}
				return c.run(ctx)
			},
			Panicked: attempted{
				progress: p, failed: fault.New(fault.Internal, "the attempt panicked: see the worker's log"),
			},
			Progress: p,
		})
	}
	stop := a.heartbeats.start(ctx, false, attempt.Progress)
	defer stop()
	done := attempt.Wait(ctx)
	if done.failed == nil {
		return done.result, nil
	}
	stop() // before failure records the last heartbeat
	return step.WebhookResult{}, a.failure(ctx, in, left, done)
}

// asActivity reports whether a first attempt that was scheduled as a local activity is better made as a normal one. While a
// local activity runs, its workflow task must be kept alive, which an overloaded machine fails at; and a worker that dies
// takes the attempt with it.
func (a *Activities) asActivity(ctx context.Context, in step.WebhookInput, p step.Progress) bool {
	w := in.Plan.Webhook
	return in.Reply && activity.GetInfo(ctx).IsLocalActivity && len(p.Attempts) == 0 && w.Execution != bot.ExecutionLocal &&
		a.Limits.Slow(limitsOf(in.Plan).Endpoint)
}

// failure turns a fault into the error by which Temporal, or the workflow, knows how to go on.
func (a *Activities) failure(ctx context.Context, in step.WebhookInput, left clock, done attempted) error {
	p, f := done.progress, done.failed
	p.Running, p.Fault, p.Replied = nil, f, done.adopted
	p.Held = held(in, f)
	if p.RetryIn = 0; !done.adopted {
		p.RetryIn = retryIn(in, p, f, left.left())
	}
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity {
		p.HeartbeatTimeout = a.heartbeatTimeout()
	} else {
		a.recordLast(ctx, p) // the attempts survive into the next attempt of this activity
	}
	a.Log.InfoContext(ctx, "attempt failed", "workflow", info.WorkflowExecution.ID, "event", in.Event.ID,
		"step", in.Plan.Step, "attempt", len(p.Attempts), "kind", f.Kind, "status", f.Status, "error", f.Message,
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

func (a *Activities) recordAttempt(ctx context.Context, in step.WebhookInput, attempt schemas.Attempt) {
	result := attempt.Error
	if result == "" || result == string(fault.Status) {
		result = strconv.Itoa(attempt.Status/100) + "xx"
	}
	took := time.Duration(attempt.TotalMs * float64(time.Millisecond))
	a.Metrics.Attempt(in.Plan.BotID, in.Plan.Step, result, took, traceOf(in))
	a.Log.DebugContext(ctx, "attempt", "event", in.Event.ID, "step", in.Plan.Step, "attempt", attempt.N, "result", result,
		"duration_ms", attempt.TotalMs)
}

package activities

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/step"
)

// Bounds of the wait for what this worker does not have yet, such as a bot file that the starter has loaded first.
const (
	passingWaitLeast = 500 * time.Millisecond
	passingWaitMost  = 30 * time.Second
)

// retryIn is the wait before the next attempt, 0 when there must be none: the failure is final, the attempts are used up,
// or the wait would pass the step's deadline. The wait grows by the plan's factor and is spread by half of itself either
// way, so that conversations that failed together do not come back together; an endpoint's Retry-After is never cut
// short, only spread by up to a tenth, as far as the deadline allows. A background step whose endpoint is paused waits for
// as long as it takes, in parts.
func retryIn(in step.WebhookInput, p step.Progress, f *fault.Fault, left time.Duration) time.Duration {
	r := in.Plan.Webhook.Retry
	switch {
	case len(p.Attempts) >= r.MaxAttempts:
		return 0
	case p.Held:
		return min(f.RetryAfter, limit.HeldRecheck)
	case staleToken(in, p, f):
	case !f.Retryable():
		return 0
	case f.Kind == fault.CircuitOpen && r.MaxAttempts == 1: // the endpoint is down, and the bot file wants no waiting
		return 0
	}
	grown := float64(r.Initial) * math.Pow(r.Backoff, float64(max(len(p.Attempts)-1, 0)))
	wait := time.Duration(min(grown, float64(r.Max)) * (0.5 + rand.Float64())) //nolint:gosec // jitter is no secret
	if f.RetryAfter > 0 {
		spread := min(f.RetryAfter/10, max(left-f.RetryAfter, 0)/2)
		wait = max(wait, f.RetryAfter+time.Duration(float64(spread)*rand.Float64())) //nolint:gosec // as above
	}
	if f.Passing && f.Status == 0 { // no request was made: the time that passed decides how often to look
		wait = max(wait, min((in.Plan.Webhook.Timeout.D()-left)/4, passingWaitMost), passingWaitLeast)
	}
	wait = max(wait, time.Millisecond)
	if wait > left {
		return 0
	}
	return wait
}

// held reports whether a background step waits for an endpoint that is paused: the limits denied its request, or its answer
// asked for a pause that the limits keep for all requests. The other steps of the queue wait behind it: none of them ends
// without a request while the endpoint is paused.
func held(in step.WebhookInput, f *fault.Fault) bool {
	w := in.Plan.Webhook
	denied := f.Status == 0 && f.RetryAfter > 0 // nothing else asks for a delay without an answer
	return w.Mode == bot.ModeBackground && (denied || limit.Pauses(f, w.Limits))
}

// staleToken reports whether the endpoint refused a bearer token for the first time: another attempt brings a new one.
func staleToken(in step.WebhookInput, p step.Progress, f *fault.Fault) bool {
	if f.Status != http.StatusUnauthorized || in.Plan.Webhook.OAuth2 == nil {
		return false
	}
	return refusals(p.Attempts) == 1
}

// resume takes the progress of the latest attempt of this activity, or what the workflow gave. The time of a background
// step starts at the activity's first try, and at the try after one that found the endpoint paused; not at every try, or a
// step that stops each worker before its request is made would hold up its queue forever.
func resume(ctx context.Context, in step.WebhookInput) step.Progress {
	p := latest(ctx, in.Progress)
	if in.Plan.Webhook.Mode == bot.ModeBackground && (p.Held || activity.GetInfo(ctx).Attempt == 1) {
		p.Held, p.Waited = false, sinceScheduled(ctx)
	}
	return p
}

func latest(ctx context.Context, given step.Progress) step.Progress {
	if activity.GetInfo(ctx).IsLocalActivity || !activity.HasHeartbeatDetails(ctx) {
		return given
	}
	var heard step.Progress
	if err := activity.GetHeartbeatDetails(ctx, &heard); err != nil || len(heard.Attempts) < len(given.Attempts) {
		return given
	}
	return heard
}

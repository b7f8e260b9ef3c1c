package activities

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
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
	p := resume(ctx, in.Progress)
	stop := heartbeat(ctx, p)
	defer stop()
	answer, failed := a.attempt(ctx, in, &p)
	if failed != nil {
		stop() // before failure tells the last word
		return step.WebhookResult{}, a.failure(ctx, in, p, failed)
	}
	result := step.WebhookResult{
		Success: answer.Success, Messages: answer.Messages, Variables: answer.Variables, Details: answer.ConversationDetails,
		Output: answer.Output, Problem: answer.Problem, Attempts: p.Attempts,
	}
	a.keepUserDetails(ctx, in, p, answer, &result)
	return result, nil
}

// attempt makes one request and reads its answer. It appends what it did to the progress.
func (a *Activities) attempt(ctx context.Context, in step.WebhookInput, p *step.Progress) (dialect.Answer, *fault.Fault) {
	d, err := a.Dialects.Get(in.Plan.Dialect)
	if err != nil {
		return dialect.Answer{}, fault.Of(err)
	}
	if failed := a.readUserDetails(ctx, in, p); failed != nil {
		return dialect.Answer{}, failed
	}
	c := dialect.Context{
		Plan: in.Plan, Event: in.Event, User: in.User, ConversationNo: in.ConversationNo, Entities: in.Entities,
		ConversationDetails: in.Details, UserDetails: p.UserDetails,
	}
	encoded, err := d.Encode(c)
	if err != nil {
		return dialect.Answer{}, fault.Of(err)
	}
	n := len(p.Attempts) + 1
	header, failed := a.header(in, encoded, n)
	if failed != nil {
		return dialect.Answer{}, failed
	}
	timeout := min(in.Plan.Webhook.AttemptTimeout.D(), time.Until(in.Deadline))
	if timeout <= 0 {
		return dialect.Answer{}, fault.New(fault.Timeout, "the step's time-out of %s passed", in.Plan.Webhook.Timeout)
	}
	response, attempt, err := a.HTTP.Do(ctx, egress.Request{
		Method: http.MethodPost, URL: in.Plan.Webhook.URL, Header: header, Body: encoded.Body, Timeout: timeout,
	})
	attempt.N = n
	var answer dialect.Answer
	failed = fault.Of(err)
	if failed == nil {
		failed = dialect.Classify(d, response.Status, egress.RetryAfter(response.Header, time.Now()))
	}
	if failed == nil {
		answer, err = d.Decode(c, response.Body)
		failed = fault.Of(err)
	}
	if failed != nil {
		attempt.Error = string(failed.Kind)
	}
	p.Attempts = append(slices.Clip(p.Attempts), attempt)
	a.note(ctx, in, attempt)
	return answer, failed
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
	a.Metrics.Attempt(in.Plan.Tenant, in.Plan.Bot, in.Plan.Step, result, took)
	a.Log.DebugContext(ctx, "attempt", "event", in.Event.ID, "step", in.Plan.Step, "attempt", attempt.N, "result", result,
		"ms", attempt.TotalMs)
}

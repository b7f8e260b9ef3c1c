package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// callbackTries bounds the time in which reading a callback is repeated. The conversation waits for it, also when an
// operator cancels its run.
const callbackTries = 2 * time.Minute

// decodeWait is the wait before an answer is decoded again for which this worker had no process.
const decodeWait = 100 * time.Millisecond

// ignores reports whether the body of an answer with this status of 2xx means nothing: the dialect reads no body, or none of
// this status, the step runs in the background, or the endpoint will call back.
func (c *call) ignores(status int) bool {
	if _, can := c.dialect.(dialect.BodyIgnorer); can || c.in.Plan.Webhook.Mode == bot.ModeBackground {
		return true
	}
	d, can := c.dialect.(dialect.Deferrer)
	return !c.dialect.GoodStatus(status) || can && c.Callbacks != nil && d.Deferred(status, nil, true)
}

// read decodes an answer of a good status. In the background no step waits for it. Where the failure is this worker's own,
// such as no free process for the response program, it decodes the same body again while the attempt has time: the endpoint
// has answered and is not called again.
func (c *call) read(ctx context.Context, response *egress.Response) (
	answer dialect.Answer, callsBack bool, failed *fault.Fault,
) {
	if c.in.Plan.Webhook.Mode == bot.ModeBackground {
		return dialect.Answer{Success: true}, false, nil
	}
	for {
		answer, callsBack, failed = dialect.Read(c.dialect, c.context, response.Status, response.Body, c.Callbacks != nil)
		if failed == nil || !failed.Passing {
			return answer, callsBack, failed
		}
		again := time.NewTimer(decodeWait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			failed.Status = response.Status // a request was made
			return answer, callsBack, failed
		}
	}
}

// ReadAnswer reads what an endpoint posted to the callback address as if it had been its answer. A body that cannot be read
// fails for good, with the error code as the error's type and the place in its message. A failure of this worker's own is
// repeated for two minutes, and not after the step's deadline, while the endpoint waits or posts the same body again.
func (a *Activities) ReadAnswer(ctx context.Context, in step.AnswerInput) (step.WebhookResult, error) {
	began := time.Now()
	d, err := a.Dialects.Get(in.Webhook.Plan.Dialect)
	if err != nil {
		return step.WebhookResult{}, nonRetryable(err)
	}
	answer, err := dialect.Decode(d, contextOf(in.Webhook, in.Webhook.Progress), in.Body)
	if f := fault.Of(err); f != nil && f.Passing && mayRepeat(ctx, in, time.Since(began)) {
		a.Log.InfoContext(ctx, "reading callback failed, will retry", "event", in.Webhook.Event.ID,
			"step", in.Webhook.Plan.Step, "kind", f.Kind, "error", f.Message)
		return step.WebhookResult{}, temporal.NewApplicationErrorWithOptions(f.Message, string(f.Kind),
			temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
	}
	if err != nil {
		a.Log.InfoContext(ctx, "callback rejected", "event", in.Webhook.Event.ID, "step", in.Webhook.Plan.Step,
			"kind", fault.Of(err).Kind, "error", fault.Of(err).Message)
		return step.WebhookResult{}, nonRetryable(err)
	}
	return step.WebhookResult{Answer: answer}, nil
}

// mayRepeat reports whether reading a callback is repeated after a try that took a time. Moments of the Temporal server are
// compared with each other only: this machine's clock may be ahead of the server's.
func mayRepeat(ctx context.Context, in step.AnswerInput, took time.Duration) bool {
	info := activity.GetInfo(ctx)
	now := info.StartedTime.Add(took)
	return now.Before(info.ScheduledTime.Add(callbackTries)) && now.Before(in.Webhook.Deadline)
}

// contextOf is what a dialect may know of a step.
func contextOf(in step.WebhookInput, p step.Progress) dialect.Context {
	return dialect.Context{
		Plan: in.Plan, Event: in.Event, User: in.User, ConversationNo: in.ConversationNo, Entities: in.Entities,
		ConversationDetails: in.ConversationDetails, UserDetails: p.UserDetails, Variables: in.Variables,
		Params: in.Params, Round: in.Round,
	}
}

// nonRetryable returns an error that repeating the activity does not resolve.
func nonRetryable(err error) error {
	f := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Kind), temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

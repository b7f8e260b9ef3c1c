package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

const (
	// heartbeatTimeout is how soon a lost worker is noticed while a webhook runs as a normal activity that had no first
	// attempt, whose worker would have set another timeout (ADR 65).
	heartbeatTimeout = 10 * time.Second
	// lostRetry is the wait before an attempt whose worker was lost is made again. Every other wait is the activity's own.
	lostRetry = 200 * time.Millisecond
	// retryCeiling stands above every delay that an activity asks for: the server cuts NextRetryDelay at this interval.
	retryCeiling = 34 * 24 * time.Hour
	// noLimit is the time of an activity whose tries Temporal ends one by one only. Replay does not compare it.
	noLimit time.Duration = 0
	// summaryMax is the server's limit for a summary, in bytes.
	summaryMax = 400
)

// callWebhook makes the attempts of a step until one succeeds, none is left or the deadline comes. The first attempt is a
// local activity, which costs no workflow task of its own, unless its result is that the endpoint is slow; later ones are
// a normal activity, visible as pending in the UI and retried by the server. The progress holds all attempts; its fault is
// nil when the endpoint answered. What the first attempt leaves of the soft deadline is the workflow's. An endpoint that has
// called back is not asked again by the workflow; an answer of an attempt that the server repeats stands.
func callWebhook(ctx workflow.Context, in step.WebhookInput, soft *softDeadline, call *calling) (
	step.WebhookResult, *fault.Fault,
) {
	if needsTimers(in) {
		return outcomeOf(moreAttempts(ctx, in))
	}
	result, p := firstAttempt(ctx, in)
	switch {
	case p == nil && !result.AsActivity:
		return result, nil
	case p == nil:
		in.Progress.HeartbeatTimeout = result.HeartbeatTimeout
		soft.watch(ctx, false)
		return outcomeOf(moreAttempts(ctx, in))
	case p.RetryIn > 0:
		soft.watch(ctx, p.Notified)
	}
	if f := waitForRetry(ctx, in, p, call); f != nil {
		return failedAfter(p), f
	}
	in.Progress = *p
	return outcomeOf(moreAttempts(ctx, in))
}

// outcomeOf is the end of a step: the endpoint's answer, or the attempts and why there is none.
func outcomeOf(result step.WebhookResult, p *step.Progress) (step.WebhookResult, *fault.Fault) {
	if p != nil {
		return failedAfter(p), p.Fault
	}
	return result, nil
}

// failedAfter is what a step that failed leaves: its attempts, and whether its reply is stored.
func failedAfter(p *step.Progress) step.WebhookResult {
	return step.WebhookResult{Attempts: p.Attempts, Replied: p.Replied}
}

// waitForRetry waits until the next attempt may be made; the fault is why there is none. The wait ends when the endpoint
// calls back.
func waitForRetry(ctx workflow.Context, in step.WebhookInput, p *step.Progress, call *calling) *fault.Fault {
	if p.RetryIn <= 0 {
		return p.Fault
	}
	wait := workflow.TimerOptions{Summary: fmt.Sprintf("%s: wait before attempt %d", in.Plan.Step, len(p.Attempts)+1)}
	var err error
	if call != nil && call.kept {
		until := workflow.AwaitOptions{Timeout: p.RetryIn, TimerOptions: wait}
		_, err = workflow.AwaitWithOptions(ctx, until, func() bool { return call.answer != nil })
	} else {
		err = workflow.NewTimerWithOptions(ctx, p.RetryIn, wait).Get(ctx, nil)
	}
	switch {
	case err != nil:
		return fault.New(fault.Cancelled, "cancelled between two attempts")
	case call.answered(ctx):
		return p.Fault
	}
	return nil
}

// withDeadline sets the step's hard deadline, which counts from the moment at which the step's turn comes.
func withDeadline(ctx workflow.Context, in step.WebhookInput) step.WebhookInput {
	in.Accepted = workflow.Now(ctx)
	in.Deadline = in.Accepted.Add(in.Plan.Webhook.Timeout.D())
	return in
}

// needsTimers reports whether even the first attempt must be a normal activity: while a local one runs, its workflow
// task is open and no timer of the workflow fires in time. A soft deadline needs none when the attempt itself notices it.
func needsTimers(in step.WebhookInput) bool {
	w := in.Plan.Webhook
	return w.Execution == bot.ExecutionActivity || w.LateAnswer == bot.LateAnswerPublish || w.Mode == bot.ModeBackground ||
		w.ProgressAfter > 0 && !in.Notify
}

// firstAttempt publishes the reply with the answer. What it could not publish, and the end of a step that failed, are the
// workflow's to publish.
func firstAttempt(ctx workflow.Context, in step.WebhookInput) (result step.WebhookResult, failed *step.Progress) {
	in.Reply, in.Left = true, in.Deadline.Sub(workflow.Now(ctx))
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: attemptTimeout(in.Plan),
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary(in.Plan),
	})
	if err := workflow.ExecuteLocalActivity(ctx, step.ActivityWebhook, in).Get(ctx, &result); err != nil {
		return result, progressOf(err, in.Progress)
	}
	return result, nil
}

func moreAttempts(ctx workflow.Context, in step.WebhookInput) (step.WebhookResult, *step.Progress) {
	if in.Deadline.Sub(workflow.Now(ctx)) <= 0 {
		in.Progress.Fault = fault.New(fault.Timeout, "the step's timeout of %s passed", in.Plan.Webhook.Timeout)
		return step.WebhookResult{}, &in.Progress
	}
	return startAttempts(ctx, in).end(ctx)
}

// attempts are the activity that makes the attempts of a step.
type attempts struct {
	future workflow.Future
	before step.Progress
}

// startAttempts starts the activity that makes the attempts of a step with time left.
func startAttempts(ctx workflow.Context, in step.WebhookInput) attempts {
	w := in.Plan.Webhook
	left := in.Deadline.Sub(workflow.Now(ctx))
	in.Left, in.Reply, in.Notify, in.CloseEvent = left, publishesItself(w), false, ""
	within := left
	switch {
	case queued(&in.Plan):
		within = noLimit // the activity ends the step: the time for which its endpoint is paused does not count
	case w.LateAnswer == bot.LateAnswerPublish:
		within += attemptTimeout(in.Plan) // an attempt that began in time runs to its own end
	}
	ctx = workflow.WithActivityOptions(ctx, attemptOptions(in, within))
	return attempts{future: workflow.ExecuteActivity(ctx, step.ActivityWebhook, in), before: in.Progress}
}

// end waits for the answer, or for what is known when there is none.
func (a attempts) end(ctx workflow.Context) (result step.WebhookResult, failed *step.Progress) {
	if err := a.future.Get(ctx, &result); err != nil {
		return result, progressOf(err, a.before)
	}
	return result, nil
}

// publishesItself reports whether the activity that has the answer may publish the reply: a repetition of the activity in
// another worker, whose result the server did not get, then adopts the reply instead of asking the endpoint again. A
// progress message must come before the reply and a late answer after it, so those leave the reply to the workflow.
func publishesItself(w *bot.Webhook) bool {
	return w.ProgressAfter <= 0 && w.LateAnswer != bot.LateAnswerPublish && w.Mode != bot.ModeBackground
}

// attemptTimeout is the time of one activity, so that the activity classifies a slow endpoint and Temporal does not. Replay
// does not compare it (ADR 65).
func attemptTimeout(p bot.Plan) time.Duration {
	return p.Webhook.AttemptTimeout.D() + step.AttemptSlack
}

// attemptOptions are those of the activity that makes the attempts of a step within a time, or with noLimit.
func attemptOptions(in step.WebhookInput, within time.Duration) workflow.ActivityOptions {
	p := in.Plan
	return workflow.ActivityOptions{
		ScheduleToCloseTimeout: within,
		StartToCloseTimeout:    attemptTimeout(p),
		HeartbeatTimeout:       cmp.Or(in.Progress.HeartbeatTimeout, heartbeatTimeout),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    lostRetry,
			BackoffCoefficient: 1,
			MaximumInterval:    retryCeiling,
		},
		Summary:  summary(p),
		Priority: temporal.Priority{FairnessKey: p.Tenant},
	}
}

// progressOf reads what a failed activity left behind: details of its own error, else of its last heartbeat, else what
// was known before it. A request that was in progress at the last heartbeat was made.
func progressOf(err error, before step.Progress) *step.Progress {
	var p step.Progress
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.HasDetails() && app.Details(&p) == nil && p.Fault != nil {
		return &p
	}
	p = before
	p.RetryIn = 0
	var timeout *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		p.Fault = fault.New(fault.Cancelled, "the step was cancelled")
	case errors.As(err, &timeout):
		if timeout.HasLastHeartbeatDetails() {
			if heard := (step.Progress{}); timeout.LastHeartbeatDetails(&heard) == nil {
				p = heard.CountLost()
				p.RetryIn = 0
			}
		}
		p.Fault = fault.New(fault.Timeout, "no answer before the step's timeout")
	default:
		p.Fault = fault.New(fault.Internal, "the webhook activity failed: see the worker's log")
	}
	return &p
}

// summary is the line that the UI shows beside the activity: the step and where it goes, without query.
func summary(p bot.Plan) string {
	where := "invalid URL"
	if u, err := url.Parse(p.Webhook.URL); err == nil {
		where = u.Host + u.Path
	}
	s := p.Step + ": POST " + where
	return s[:min(len(s), summaryMax)]
}

package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// callEndpoint asks the step's endpoint under the step's latency contract: a progress message at the soft deadline, an end
// at the hard one whatever the endpoint does, and its answer after that dropped or published as the bot file asks.
func (c *conversation) callEndpoint(ctx workflow.Context, d *step.Delivery, in step.WebhookInput) (
	step.WebhookResult, *fault.Fault,
) {
	in = withDeadline(ctx, in)
	soft := &softDeadline{c: c, d: d, in: in}
	defer soft.stop() // before the reply, so that a progress message never comes after it
	if in.Notify = c.attemptPublishes() && in.Plan.Webhook.ProgressAfter > 0; needsTimers(in) {
		soft.watch(ctx, false)
	}
	if in.Plan.Dialect == bot.DialectPlain {
		// An endpoint may call back before its 202 is here.
		c.calling = &calling{in: in, kept: c.state.Format >= step.FormatKeepsAccepted}
		defer func() { c.calling = nil }()
	}
	result, failed := c.answerInTime(ctx, in, soft)
	switch {
	case failed == nil && result.CallsBack:
		soft.watch(ctx, result.Notified)
		return c.awaitCallback(ctx, result)
	case failed != nil && !result.Replied && c.calling.answered(ctx):
		return c.calling.result(result.Attempts), nil
	}
	return result, failed
}

// answerInTime returns the endpoint's answer, or the timeout at the hard deadline. Where late answers are dropped the
// request itself ends at the deadline; where they are published it goes on in the background, and later events do not
// wait for it.
//
// When a workflow task has both, the one that comes first in the history counts: a repeated task, which may find the
// other one as well, comes to the same end.
func (c *conversation) answerInTime(ctx workflow.Context, in step.WebhookInput, soft *softDeadline) (
	step.WebhookResult, *fault.Fault,
) {
	w := in.Plan.Webhook
	switch {
	case w.LateAnswer != bot.LateAnswerPublish:
		return callWebhook(ctx, in, soft, c.calling)
	case c.state.Format < step.FormatInOrder:
		return c.answerBeforeTimer(ctx, in, soft)
	}
	timed, cancel := workflow.WithCancel(ctx)
	defer cancel()
	hard := workflow.NewTimerWithOptions(timed, w.Timeout.D(), workflow.TimerOptions{Summary: "hard deadline"})
	attempts := startAttempts(ctx, in)
	var tooLate bool
	var err error
	workflow.NewSelector(ctx).
		AddFuture(attempts.future, func(workflow.Future) {}).
		AddFuture(hard, func(f workflow.Future) { err = f.Get(ctx, nil); tooLate = true }).
		Select(ctx)
	switch {
	case !tooLate:
		result, p := attempts.end(ctx)
		return outcomeOf(result, p)
	case err != nil:
		return step.WebhookResult{}, fault.New(fault.Cancelled, "the step was cancelled")
	}
	c.awaitLate(ctx, in, attempts)
	return step.WebhookResult{}, timeoutBeforeLate(w)
}

// awaitLate publishes the answer that comes after the step's reply, and after whatever else the step publishes.
func (c *conversation) awaitLate(ctx workflow.Context, in step.WebhookInput, attempts attempts) {
	steps := c.steps
	c.late++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { c.late-- }()
		result, p := attempts.end(ctx)
		if p != nil || result.CallsBack {
			return
		}
		patient, stop := workflow.NewDisconnectedContext(ctx)
		defer stop()
		_ = workflow.Await(patient, func() bool { return c.steps > steps })
		c.publishLate(ctx, in, result)
		c.idleFromNow(ctx)
	})
}

// answerBeforeTimer is answerInTime as runs before FormatInOrder have it in their histories. A task that has both takes
// the timeout and publishes the answer as a late one.
func (c *conversation) answerBeforeTimer(ctx workflow.Context, in step.WebhookInput, soft *softDeadline) (
	step.WebhookResult, *fault.Fault,
) {
	var (
		result         step.WebhookResult
		failed         *fault.Fault
		ended, tooLate bool
	)
	c.late++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { c.late-- }()
		result, failed = callWebhook(ctx, in, soft, c.calling)
		ended = true
		if tooLate && failed == nil && !result.CallsBack {
			c.publishLate(ctx, in, result)
		}
	})
	w := in.Plan.Webhook
	hard := workflow.AwaitOptions{Timeout: w.Timeout.D(), TimerOptions: workflow.TimerOptions{Summary: "hard deadline"}}
	_, err := workflow.AwaitWithOptions(ctx, hard, func() bool { return ended })
	switch {
	case ended:
		return result, failed
	case err != nil:
		return step.WebhookResult{}, fault.New(fault.Cancelled, "the step was cancelled")
	}
	tooLate = true
	return step.WebhookResult{}, timeoutBeforeLate(w)
}

func timeoutBeforeLate(w *bot.Webhook) *fault.Fault {
	return fault.New(fault.Timeout,
		"the endpoint did not answer within %s; an answer after that is published as hookturn.step.late", w.Timeout)
}

// publishLate publishes what came after the step's reply. It changes nothing in the conversation, which has gone on.
func (c *conversation) publishLate(ctx workflow.Context, in step.WebhookInput, result step.WebhookResult) {
	data := in.Replied(result, nil)
	data.ConversationDetails, data.Workflow = nil, c.workflow
	publish(ctx, c.address(in.Event, in.Stored), schemas.TypeStepLate, data)
}

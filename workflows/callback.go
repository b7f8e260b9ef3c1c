package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// calling is the step in hand while its endpoint may call back.
type calling struct {
	in      step.WebhookInput
	kept    bool                // a callback that was accepted ends the step (step.FormatKeepsAccepted)
	waiting bool                // the endpoint has said 202
	reading bool                // a callback is being read
	failed  int                 // callbacks that could not be read
	answer  *step.WebhookResult // what it said
}

// answered reports whether the endpoint has called back, after it has waited for a callback that is being read. Steps of
// endpoints that cannot call back (nil), and of earlier formats, go on without their callback.
func (c *calling) answered(ctx workflow.Context) bool {
	if c == nil || !c.kept {
		return false
	}
	if c.reading {
		patient, stop := workflow.NewDisconnectedContext(ctx)
		defer stop()
		_ = workflow.Await(patient, func() bool { return !c.reading })
	}
	return c.answer != nil
}

// result is what the endpoint called back with, and the attempts of the step.
func (c *calling) result(attempts []schemas.Attempt) step.WebhookResult {
	c.answer.Attempts = attempts
	return *c.answer
}

func (c *conversation) listenForCallbacks(ctx workflow.Context) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, step.UpdateCallback, c.takeCallback,
		workflow.UpdateHandlerOptions{Validator: c.admitCallback})
}

// admitCallback lets one callback in for the step in hand; it keeps every other out of history. One that cannot be read is
// in history all the same, and an endpoint may post any number of them: few are let in, and fewer into a large history.
//
// It may change in any release: validators run for a new Update only, and not when a history is replayed.
func (c *conversation) admitCallback(ctx workflow.Context, cb step.Callback) error {
	ours := c.calling != nil && c.calling.in.Event.ID == cb.EventID
	switch {
	case !ours && cb.EventID != c.state.LastEventID && !slices.Contains(c.state.Seen, cb.EventID):
		return reject(step.RejectedEarly, "the step has not been reached yet: try again")
	case !ours:
		return reject(step.RejectedCallback, "no step of this event waits for a call back")
	case c.calling.reading || c.calling.answer != nil:
		return reject(step.RejectedCallback, "the step was called back already")
	case c.calling.failed >= callbacksFailedMax:
		return reject(step.RejectedCallback, "the step was called back %d times with an answer that could not be read",
			c.calling.failed)
	case c.tooMuch(ctx):
		return reject(step.RejectedCallback, "the history of the conversation has no room for another callback")
	}
	return nil
}

// tooMuch reports whether the run's history has no room for a callback. While the step has had none that could not be read,
// it may have most of the history: the run continues as new when the step has ended, and not before.
func (c *conversation) tooMuch(ctx workflow.Context) bool {
	history := workflow.GetInfo(ctx).GetCurrentHistorySize()
	return history >= callbackBytesMax || c.calling.failed > 0 && history >= runBytesMax
}

// takeCallback reads what the endpoint posted, as if it had been its answer. What cannot be read is rejected and does
// not use the callback up: the endpoint may correct it and post again, callbacksFailedMax times.
func (c *conversation) takeCallback(ctx workflow.Context, cb step.Callback) error {
	call := c.calling
	call.reading = true
	defer func() { call.reading = false }()
	var answer step.WebhookResult
	in := step.AnswerInput{Webhook: call.in, Body: cb.Body}
	if err := reliably(ctx, step.ActivityAnswer, "read the call back", &answer, in); err != nil {
		call.failed++
		return reject(step.RejectedAnswer, "%s", faultOf(err).Message)
	}
	if call.kept && c.calling != call {
		return reject(step.RejectedCallback, "the step has ended")
	}
	call.answer = &answer
	return nil
}

// awaitCallback waits for the answer that a 202 has promised, until the step's deadline. Worker and servers may restart
// meanwhile, any number of times.
func (c *conversation) awaitCallback(ctx workflow.Context, promised step.WebhookResult) (step.WebhookResult, *fault.Fault) {
	call := c.calling
	call.waiting = true
	c.setCurrentDetails(ctx)
	if c.state.Format != step.FormatLingering {
		c.upsertOutcome(ctx, call.in.Plan.Step, step.OutcomeCallback)
	}
	w := call.in.Plan.Webhook
	until := workflow.AwaitOptions{
		Timeout:      max(call.in.Deadline.Sub(workflow.Now(ctx)), 0),
		TimerOptions: workflow.TimerOptions{Summary: call.in.Plan.Step + ": waits for the call back"},
	}
	answered := func() bool { return call.answer != nil }
	_, err := workflow.AwaitWithOptions(ctx, until, answered)
	if !call.answered(ctx) && err == nil && call.reading { // it came in time
		err = workflow.Await(ctx, func() bool { return !call.reading })
	}
	switch {
	case call.answer != nil:
		return call.result(promised.Attempts), nil
	case err != nil:
		return promised, fault.New(fault.Cancelled, "cancelled while the endpoint was expected to call back")
	}
	return promised, fault.New(fault.Timeout, "the endpoint answered 202 and did not call back within %s", w.Timeout)
}

// reject makes the error of an Update that is rejected for what it holds: another try does not help.
func reject(kind, format string, args ...any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf(format, args...), kind,
		temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign})
}

package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// run waits until the run may end: the conversation was closed, has been idle for long enough, or the run continues as
// new. One timer serves the whole run; when it fires early because events came since, the next one is set for what is
// left, so a step costs no timer.
func (c *conversation) run(ctx workflow.Context) (*step.ConversationResult, error) {
	await := c.awaitEnd
	if c.state.Format == step.FormatLingering {
		await = c.awaitEndCancellingTimer
	}
	for {
		if err := await(ctx); err != nil {
			return nil, c.cancelled(ctx)
		}
		if err := workflow.Await(ctx, c.idle); err != nil {
			return nil, c.cancelled(ctx)
		}
		if c.completed() {
			return c.result(ctx), nil
		}
		if c.due(ctx) {
			c.state.EventsPerRun = step.EventsPerRun
			c.state.Format = step.FormatLatest
			return nil, workflow.NewContinueAsNewError(ctx, step.WorkflowConversation, c.state)
		}
		if c.idleLeft(ctx) <= 0 {
			c.expire(ctx)
		}
		if c.idleLeft(ctx) <= 0 && c.idle() {
			return c.result(ctx), nil
		}
		if ctx.Err() != nil { // a cancellation of an idle run ends the timer, too
			return nil, c.cancelled(ctx)
		}
	}
}

// completed reports whether the latest event closed the conversation, which completes the run.
func (c *conversation) completed() bool {
	return c.state.Format != step.FormatLingering && c.closed != ""
}

// awaitEnd waits for the end of the conversation, for the end of the run's room, or for the idle timer. A run that
// completes leaves its timer to the server, which drops it with the run.
func (c *conversation) awaitEnd(ctx workflow.Context) error {
	armed := c.state.IdleTimeout
	timed, cancel := workflow.WithCancel(ctx)
	timer := workflow.NewTimerWithOptions(timed, max(c.idleLeft(ctx), time.Second),
		workflow.TimerOptions{Summary: "idle timeout"})
	err := workflow.Await(ctx, func() bool {
		return timer.IsReady() || c.idle() && (c.completed() || c.due(ctx) || c.state.IdleTimeout != armed)
	})
	if err == nil && c.state.IdleTimeout != armed && !c.completed() && !c.due(ctx) {
		cancel() // another timer takes its place
	}
	return err
}

// awaitEndCancellingTimer is awaitEnd as runs of FormatLingering have it in their histories.
func (c *conversation) awaitEndCancellingTimer(ctx workflow.Context) error {
	armed := c.state.IdleTimeout
	timer := workflow.AwaitOptions{
		Timeout:      max(c.idleLeft(ctx), time.Second),
		TimerOptions: workflow.TimerOptions{Summary: "idle timeout"},
	}
	_, err := workflow.AwaitWithOptions(ctx, timer, func() bool {
		return c.idle() && (c.due(ctx) || c.state.IdleTimeout != armed)
	})
	return err
}

// idleFromNow begins the idle time: the engine has read the end of an event, or a late answer. It costs no timer, because
// the timer that runs stays until it fires. Runs before FormatIdleAfterStep are idle since their latest event had its turn.
func (c *conversation) idleFromNow(ctx workflow.Context) {
	if c.state.Format >= step.FormatIdleAfterStep {
		c.state.LastEvent = workflow.Now(ctx)
	}
}

// idleLeft is what is left of the idle time.
func (c *conversation) idleLeft(ctx workflow.Context) time.Duration {
	last := c.state.LastEvent
	if last.IsZero() {
		last = workflow.GetInfo(ctx).WorkflowStartTime
	}
	return c.state.IdleTimeout.D() - workflow.Now(ctx).Sub(last)
}

// expire drops the state of an idle conversation. It waits for its turn, so that an event that comes at the same moment
// waits for it and then finds a fresh conversation.
func (c *conversation) expire(ctx workflow.Context) {
	c.turns.wait(ctx)
	defer c.turns.end()
	if c.idleLeft(ctx) > 0 {
		return
	}
	if w := c.state.Waiting; w != nil {
		c.reject(ctx, &rejection{*w, fault.New(fault.Expired, "the conversation was idle for %s", c.state.IdleTimeout)})
	}
	if c.state.Open {
		c.publishClosed(ctx, schemas.ClosedIdle, c.state.LastStored.Add(c.state.IdleTimeout.D())) // it is not closed earlier
		c.close(ctx, schemas.ClosedIdle, true)
	}
}

// cancelled answers a waiting step when an operator cancels the run, and the steps that begin to wait meanwhile, then ends
// the run. Runs before FormatKeepsAccepted answer only the first one.
func (c *conversation) cancelled(ctx workflow.Context) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	for {
		c.turns.wait(ctx) // behind every event that was accepted
		if w := c.state.Waiting; w != nil {
			c.state.Waiting = nil
			c.reject(ctx, &rejection{*w, fault.New(fault.Cancelled, "the conversation's run was cancelled")})
		}
		c.turns.end()
		if err := workflow.Await(ctx, c.idle); err != nil { // events that came meanwhile
			return err
		}
		if c.state.Waiting == nil || c.state.Format < step.FormatKeepsAccepted {
			return temporal.NewCanceledError()
		}
	}
}

// result is what the run leaves behind: one line for a person, and the ids by which a redelivered event is recognised.
// Runs of FormatLingering have none.
func (c *conversation) result(ctx workflow.Context) *step.ConversationResult {
	if c.state.Format == step.FormatLingering {
		return nil
	}
	c.upsertLast(ctx)
	r := &step.ConversationResult{
		Steps: c.state.Steps, LastOutcome: c.state.LastOutcome, Closed: c.closed != "", Reason: c.closed,
		EventIDs: c.state.Seen, Failures: c.state.Failures,
	}
	if !r.Closed {
		r.Reason = schemas.ClosedIdle
	}
	return r
}

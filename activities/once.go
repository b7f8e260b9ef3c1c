package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// A heartbeat keeps the activity of a script from running it twice. The first one is sent before the script begins, and a
// later try of the activity finds it: it joins the script if that runs in its own process, and otherwise does not run it.

// scriptEnd is how the run of a script ended. T is its result.
type scriptEnd[T any] struct {
	result T
	err    error
}

// scriptEndBytes is roughly what the result of a script takes in memory.
const scriptEndBytes = 64 << 10

// onceByHeartbeat runs a script at most once. A repetition of the activity joins the run that this process has begun, or
// takes its result; one in another process ends with outcome_unknown when the script may have begun.
func onceByHeartbeat[T any](
	ctx context.Context, c *Code, runs *flight.Group[scriptEnd[T]], key flight.Key, do func(context.Context) (T, error),
) (T, error) {
	attempt := runs.Find(key)
	begins := attempt == nil
	if begins {
		if err := c.announceScript(ctx); err != nil {
			var none T
			return none, err
		}
		panicked := fault.New(fault.Internal, "running the script panicked: see the worker's log")
		attempt = runs.JoinOrStart(ctx, c.Log, key, flight.Plan[scriptEnd[T]]{
			Make: func(ctx context.Context, f *flight.Flight[scriptEnd[T]]) scriptEnd[T] {
				r, err := do(ctx)
				f.Keep, f.Bytes = err == nil, scriptEndBytes
				return scriptEnd[T]{r, err}
			},
			Panicked: scriptEnd[T]{err: nonRetryable(panicked)},
			Progress: runningNow(),
		})
	}
	stop := c.heartbeats.start(ctx, begins, attempt.Progress)
	defer stop()
	done := attempt.Wait(ctx)
	if app, ok := errors.AsType[*temporal.ApplicationError](done.err); ok && !app.NonRetryable() {
		stop()
		c.recordLast(ctx, step.Progress{NotBegun: true})
	}
	return done.result, done.err
}

// announceScript sends the heartbeat before the script begins. A server that has no heartbeat of a try knows that its script
// did not begin. One whose heartbeat failed may be stored: then the next one takes it back. The error is why the script must
// not begin.
func (c *Code) announceScript(ctx context.Context) error {
	if mayHaveBegun(ctx) {
		return lostScript(ctx)
	}
	err := c.sendHeartbeat(ctx, runningNow())
	if err == nil {
		return nil
	}
	c.Log.WarnContext(ctx, "script not begun, sending its heartbeat failed",
		"workflow", activity.GetInfo(ctx).WorkflowExecution.ID, "error", err)
	err = c.sendHeartbeat(context.WithoutCancel(ctx), step.Progress{NotBegun: true})
	if err != nil && !temporal.IsCanceledError(err) { // a cancelled activity's heartbeat is stored
		c.Log.WarnContext(ctx, "taking back the heartbeat of a script failed",
			"workflow", activity.GetInfo(ctx).WorkflowExecution.ID, "error", err)
	}
	return retryable(fault.New(fault.Internal, "the server did not take the heartbeat before the script"))
}

// lostScript is the error of a script whose worker was lost. Its details are the step.Progress of that worker, by which the
// workflow knows the attempt.
func lostScript(ctx context.Context) error {
	var p step.Progress
	_ = activity.GetHeartbeatDetails(ctx, &p) // what cannot be read has begun, too
	return temporal.NewApplicationErrorWithOptions("the worker was lost while the script ran: look whether it had its effect",
		string(fault.OutcomeUnknown), temporal.ApplicationErrorOptions{
			NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{p},
		})
}

// runningNow returns the progress of a script that begins now.
func runningNow() step.Progress {
	return step.Progress{Running: &schemas.Attempt{N: 1, Started: time.Now().UTC()}}
}

// mayHaveBegun reports whether an earlier try of this activity may have begun with the script.
func mayHaveBegun(ctx context.Context) bool {
	var p step.Progress
	return activity.HasHeartbeatDetails(ctx) && (activity.GetHeartbeatDetails(ctx, &p) != nil || !p.NotBegun)
}

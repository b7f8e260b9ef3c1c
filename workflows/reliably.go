package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// locally bounds the first try of what usually takes milliseconds. A longer outage of NATS becomes a normal activity: a
	// local one would add history events with every heartbeat of its workflow task.
	locally = 5 * time.Second
	// patiently bounds one attempt of the normal activity; the attempts go on until NATS is back.
	patiently = 30 * time.Second
)

// reliably runs an activity that needs nothing but NATS or the worker itself: as a local activity first, which costs next to
// nothing, then as a normal one for as long as it takes. Only an error that is not retryable ends it. A step that was
// cancelled still has to end well, so a cancellation of ctx does not reach it.
func reliably(ctx workflow.Context, activity, summary string, result any, in ...any) error {
	ctx, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: locally,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary,
	})
	err := workflow.ExecuteLocalActivity(local, activity, in...).Get(local, result)
	if err == nil || permanent(err) {
		return err
	}
	normal := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: patiently,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 10 * time.Second},
		Summary:             summary,
	})
	return workflow.ExecuteActivity(normal, activity, in...).Get(normal, result)
}

func permanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

// faultOf reads the error code of an activity that failed for good: its error's type.
func faultOf(err error) *fault.Fault {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && fault.Kind(app.Type()).Known() {
		return fault.New(fault.Kind(app.Type()), "%s", app.Message())
	}
	return fault.New(fault.Internal, "an activity failed: see the worker's log")
}

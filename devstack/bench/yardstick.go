package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const yardQueue = "yardstick"

// yardWorkflow is what a step costs at the least without hookturn: a workflow with one activity.
func yardWorkflow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	return workflow.ExecuteActivity(ctx, yardActivity).Get(ctx, nil)
}

func yardActivity(context.Context) error { return nil }

// yardstick measures Temporal alone on the rig's server, with the pollers that suit it best.
func (r *rig) yardstick(ctx context.Context, inFlight int, d time.Duration) (measurement, error) {
	pollers := sdkworker.NewPollerBehaviorSimpleMaximum(sdkworker.PollerBehaviorSimpleMaximumOptions{
		MaximumNumberOfPollers: 32,
	})
	w := sdkworker.New(r.temporal, yardQueue, sdkworker.Options{
		WorkflowTaskPollerBehavior: pollers, ActivityTaskPollerBehavior: pollers,
	})
	w.RegisterWorkflow(yardWorkflow)
	w.RegisterActivity(yardActivity)
	if err := w.Start(); err != nil {
		return measurement{}, err
	}
	defer w.Stop()
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	return r.steady(ctx, inFlight, d, func(int) error {
		run, err := r.temporal.ExecuteWorkflow(ctx,
			client.StartWorkflowOptions{ID: uuid.NewString(), TaskQueue: yardQueue}, yardWorkflow)
		if err == nil {
			err = run.Get(ctx, nil)
		}
		if err != nil {
			return fmt.Errorf("yardstick: %w", err)
		}
		return nil
	})
}

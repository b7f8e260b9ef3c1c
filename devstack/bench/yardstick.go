package bench

import (
	"context"
	"fmt"
	"sync"
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
	if _, err := r.yardLoad(ctx, inFlight, time.Second); err != nil { // warms pollers and caches
		return measurement{}, err
	}
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	return r.measured(func() (measurement, error) { return r.yardLoad(ctx, inFlight, d) })
}

func (r *rig) yardLoad(ctx context.Context, inFlight int, d time.Duration) (measurement, error) {
	var (
		mu    sync.Mutex
		m     measurement
		first error
		wg    sync.WaitGroup
	)
	started := time.Now()
	for range inFlight {
		wg.Go(func() {
			for time.Since(started) < d {
				begun := time.Now()
				run, err := r.temporal.ExecuteWorkflow(ctx,
					client.StartWorkflowOptions{ID: uuid.NewString(), TaskQueue: yardQueue}, yardWorkflow)
				if err == nil {
					err = run.Get(ctx, nil)
				}
				mu.Lock()
				if err != nil {
					first = fmt.Errorf("yardstick: %w", err)
				} else {
					m.latencies = append(m.latencies, time.Since(begun))
				}
				stop := first != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	m.took = time.Since(started)
	return m, first
}

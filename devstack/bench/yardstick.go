package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	yardQueue = "yardstick"
	// inFlightMany is how many steps are in flight where throughput is measured.
	inFlightMany = 64
	// chatSteps is how many steps a chat has.
	chatSteps = 5
)

// yardWorkflow is a step without hookturn: a workflow with one activity.
func yardWorkflow(ctx workflow.Context) error {
	return workflow.ExecuteActivity(briefly(ctx), yardActivity).Get(ctx, nil)
}

// sampleWorkflow is a step as most samples have it: one activity calls the endpoint, another publishes the reply.
func sampleWorkflow(ctx workflow.Context) error {
	if err := workflow.ExecuteActivity(briefly(ctx), yardActivity).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.ExecuteActivity(briefly(ctx), yardActivity).Get(ctx, nil)
}

func briefly(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
}

func yardActivity(context.Context) error { return nil }

// updateStep is the name of the Update of the bare workflows.
const updateStep = "step"

// limitWorkflow takes Updates that do nothing.
func limitWorkflow(ctx workflow.Context) error {
	return serveUpdates(ctx, func(workflow.Context, string) error { return nil })
}

// bareWorkflow takes Updates that run a local activity that does nothing.
func bareWorkflow(ctx workflow.Context) error {
	return serveUpdates(ctx, func(ctx workflow.Context, _ string) error {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 10 * time.Second})
		return workflow.ExecuteLocalActivity(ctx, yardActivity).Get(ctx, nil)
	})
}

func serveUpdates(ctx workflow.Context, handler func(workflow.Context, string) error) error {
	if err := workflow.SetUpdateHandler(ctx, updateStep, handler); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return false })
}

// yardWorker polls for the workflows of this file with the pollers that suit them best.
func (r *rig) yardWorker() (stop func(), err error) {
	pollers := sdkworker.NewPollerBehaviorSimpleMaximum(sdkworker.PollerBehaviorSimpleMaximumOptions{
		MaximumNumberOfPollers: 32,
	})
	w := sdkworker.New(r.temporal, yardQueue, sdkworker.Options{
		WorkflowTaskPollerBehavior: pollers, ActivityTaskPollerBehavior: pollers,
	})
	for _, flow := range []any{yardWorkflow, sampleWorkflow, limitWorkflow, bareWorkflow} {
		w.RegisterWorkflow(flow)
	}
	w.RegisterActivity(yardActivity)
	return w.Stop, w.Start()
}

// yardstick measures workflows that are a step each.
func (r *rig) yardstick(ctx context.Context, flow any, d time.Duration) (measurement, error) {
	stop, err := r.yardWorker()
	if err != nil {
		return measurement{}, err
	}
	defer stop()
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	return r.steady(ctx, inFlightMany, d, func(int) error {
		run, err := r.temporal.ExecuteWorkflow(ctx,
			client.StartWorkflowOptions{ID: uuid.NewString(), TaskQueue: yardQueue}, flow)
		if err == nil {
			err = run.Get(ctx, nil)
		}
		if err != nil {
			return fmt.Errorf("yardstick: %w", err)
		}
		return nil
	})
}

// bare measures Updates of open workflows, by turns.
func (r *rig) bare(ctx context.Context, flow any, d time.Duration) (measurement, error) {
	stop, err := r.yardWorker()
	if err != nil {
		return measurement{}, err
	}
	defer stop()
	prefix := uuid.NewString()
	id := func(n int) string { return fmt.Sprintf("%s-%d", prefix, n%openConversations) }
	opened := drive(inFlightMany, func(n int) bool { return n < openConversations },
		func(n int) error { return r.updateWithStart(ctx, flow, id(n)) }, func(time.Duration) {})
	if opened != nil {
		return measurement{}, opened
	}
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	m, err := r.steady(ctx, inFlightMany, d, func(n int) error { return r.updateBare(ctx, id(n)) })
	return m, errors.Join(err, r.terminate(ctx, openConversations, id))
}

// bareChats measures chats of the bare design. Their workflows stay open, and are ended after the measurement.
func (r *rig) bareChats(ctx context.Context, d time.Duration) (measurement, error) {
	stop, err := r.yardWorker()
	if err != nil {
		return measurement{}, err
	}
	defer stop()
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	prefix := uuid.NewString()
	id := func(n int) string { return fmt.Sprintf("%s-%d", prefix, n) }
	m, chats, err := r.lives(ctx, inFlightMany, d, func(n int, done func(time.Duration)) error {
		for s := range chatSteps {
			began := time.Now()
			if s == 0 {
				if err := r.updateWithStart(ctx, bareWorkflow, id(n)); err != nil {
					return err
				}
			} else if err := r.updateBare(ctx, id(n)); err != nil {
				return err
			}
			done(time.Since(began))
		}
		return nil
	})
	return m, errors.Join(err, r.terminate(ctx, chats, id))
}

func (r *rig) updateBare(ctx context.Context, id string) error {
	handle, err := r.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: updateStep, Args: []any{"a step"}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	return err
}

func (r *rig) updateWithStart(ctx context.Context, flow any, id string) error {
	start := r.temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID: id, TaskQueue: yardQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, flow)
	handle, err := r.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			WorkflowID: id, UpdateName: updateStep, Args: []any{"a step"}, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	return err
}

// terminate ends workflows that a measurement has left open, so that the next one finds the server as this one did.
func (r *rig) terminate(ctx context.Context, n int, id func(n int) string) error {
	return drive(inFlightMany, func(i int) bool { return i < n },
		func(i int) error { return r.temporal.TerminateWorkflow(ctx, id(i), "", "measured") }, func(time.Duration) {})
}

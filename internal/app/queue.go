package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/step"
)

// wake starts the workflow of a background queue, or signals the running one. The queue itself is in JetStream: a signal
// carries no data.
func wake(c client.Client) activities.Wake {
	return func(ctx context.Context, q step.Queue) error {
		q.Format = step.FormatLatest // of a run that it starts; one that runs keeps its own
		o := runOfQueue(q)
		_, err := c.SignalWithStartWorkflow(ctx, o.ID, step.SignalQueued, nil, o, step.WorkflowQueue, q)
		return err
	}
}

// startQueue starts the workflow of a background queue unless it runs. That adds nothing to the history of a running one.
func startQueue(c client.Client) activities.Wake {
	return func(ctx context.Context, q step.Queue) error {
		q.Format = step.FormatLatest
		o := runOfQueue(q)
		o.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
		_, err := c.ExecuteWorkflow(ctx, o, step.WorkflowQueue, q)
		return err
	}
}

func runOfQueue(q step.Queue) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                  step.QueueID(q.BotID, q.Step),
		TaskQueue:           step.QueueMain,
		WorkflowTaskTimeout: dispatch.WorkflowTaskTimeout,
		Priority:            temporal.Priority{FairnessKey: q.Tenant},
		StaticSummary:       q.Bot + ": background queue of " + q.Step,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(q.Tenant),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(q.Bot),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(q.Step)),
	}
}

// sweepEvery is how often queues are looked for that have entries and no run.
const sweepEvery = time.Minute

// queueHeads reads the oldest entry of every background queue. *store.Queues is one.
type queueHeads interface {
	Heads(ctx context.Context) ([][]byte, error)
}

// sweeper starts the runs of background queues that have entries and no run: one that was terminated, or that was never
// started because Temporal was away, would leave them until the step's next event.
type sweeper struct {
	queues   queueHeads
	temporal client.Client
	wake     activities.Wake
	log      *slog.Logger
}

// run sweeps at once and every minute until ctx ends.
func (s sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Log(ctx, natsclient.RetryLevel(err), "looking for background queues without a run failed, will retry",
				"error", err, "retry_in", sweepEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s sweeper) sweep(ctx context.Context) error {
	heads, err := s.queues.Heads(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, head := range heads {
		var entry step.Queued
		if json.Unmarshal(head, &entry) != nil || entry.Webhook.Plan.Step == "" {
			continue // a run removes it and logs that
		}
		q := step.Queue{BotID: entry.Webhook.Plan.BotID, Step: entry.Webhook.Plan.Step}
		err := s.start(ctx, q)
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("queue of step %s of bot %s of tenant %s: %w", q.Step, q.Bot, q.Tenant, err))
		if _, away := errors.AsType[*serviceerror.Unavailable](err); away || errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return errors.Join(failed...)
}

// start starts the run of a queue unless it runs.
func (s sweeper) start(ctx context.Context, q step.Queue) error {
	running, err := s.running(ctx, q)
	if err != nil || running {
		return err
	}
	s.log.WarnContext(ctx, "background queue without a run found, starting one", "tenant", q.Tenant, "bot", q.Bot, "step",
		q.Step)
	if err := s.wake(ctx, q); err != nil {
		return fmt.Errorf("start the run of a background queue: %w", err)
	}
	return nil
}

func (s sweeper) running(ctx context.Context, q step.Queue) (bool, error) {
	described, err := s.temporal.DescribeWorkflowExecution(ctx, step.QueueID(q.BotID, q.Step), "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the run of a background queue: %w", err)
	}
	return described.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

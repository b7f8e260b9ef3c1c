package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/step"
)

// pollQueues polls the task queues of the configuration.
func (w *Worker) pollQueues(
	ctx context.Context, b *base, cfg Config, acts *activities.Activities, out *egress.Client,
) (err error) {
	code, mainQueue := slices.Contains(cfg.TaskQueues, step.QueueCode), slices.Contains(cfg.TaskQueues, step.QueueMain)
	var box *sandbox.Sandbox
	if code {
		if box, err = w.startSandboxes(ctx, cfg, out); err != nil {
			return err
		}
	}
	var tuned worker.WorkerTuner
	if mainQueue {
		var used func() float64
		if tuned, used, err = tuner(w.load); err != nil {
			return err
		}
		w.showSlots(step.QueueMain, cfg, used)
	}
	worker.SetBinaryChecksum(cfg.Deployment.BuildID) // or the SDK reads and hashes the whole program at every start
	w.stopTogether(cfg.StopTimeout)                  // before what the work uses is stopped
	if code {
		if err := w.pollCode(ctx, b, cfg, acts, out, box); err != nil {
			return err
		}
	}
	if !mainQueue {
		return nil
	}
	return w.poll(b.temporal, cfg, acts, tuned)
}

// heartbeatInterval is the longest time for which the SDK holds back a heartbeat of an activity. The activity decides how
// often it sends one (ADR 65); the SDK would hold it back for four fifths of the heartbeat timeout, and a stall of Temporal
// for the remaining fifth would end the activity of a worker that is well.
const heartbeatInterval = time.Second

// queueOptions returns the SDK's options that all task queues share; those of a queue add to them what only it has.
// Pollers scale by themselves: a fixed few make the tail latency seconds long when a thousand conversations run
// (docs/benchmarks).
func (w *Worker) queueOptions(cfg Config) worker.Options {
	return worker.Options{
		ActivityTaskPollerBehavior:   worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		MaxHeartbeatThrottleInterval: heartbeatInterval,
		WorkerStopTimeout:            cfg.StopTimeout,
		DisableRegistrationAliasing:  true,
		OnFatalError:                 w.fatal.fail,
		DeploymentOptions:            cfg.Deployment.Worker(),
	}
}

// stopTogether makes what runs work a part of the worker, which has so much time to stop.
func (w *Worker) stopTogether(timeout time.Duration) {
	w.parts.add("task queues", within(timeout, w.running.stop))
}

// sdkWorker is a worker of the SDK: worker.Worker is one.
type sdkWorker interface {
	Start() error
	Stop()
}

// run starts an SDK worker. When the worker stops, it does not wait for one that takes longer than its time: the SDK waits
// for workflow tasks, local activities and activities one after another, for the stop timeout each.
func (w *Worker) run(sdk sdkWorker, queue string) error {
	if err := sdk.Start(); err != nil {
		return fmt.Errorf("start polling task queue %s: %w", queue, err)
	}
	w.running.add(func(ctx context.Context) error {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			sdk.Stop()
		}()
		select {
		case <-stopped:
		case <-ctx.Done():
			w.parts.log.WarnContext(ctx, "work still running at the stop timeout", "task_queue", queue)
		}
		return nil
	})
	return nil
}

// together is the sources of work of a process, which stop at the same time: while one of them waits for what it has begun,
// no other begins any, and they need one stop timeout.
type together struct{ stops []func(context.Context) error }

func (t *together) add(stop func(context.Context) error) { t.stops = append(t.stops, stop) }

func (t *together) stop(ctx context.Context) error {
	problems := make([]error, len(t.stops))
	var stopping sync.WaitGroup
	for i, stop := range t.stops {
		stopping.Go(func() { problems[i] = stop(ctx) })
	}
	stopping.Wait()
	return errors.Join(problems...)
}

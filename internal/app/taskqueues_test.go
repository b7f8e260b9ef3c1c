package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/step"
)

// slowWorker is a worker of the SDK that takes so long to stop.
type slowWorker struct {
	stop    time.Duration
	stopped time.Time
}

func (*slowWorker) Start() error { return nil }

func (w *slowWorker) Stop() {
	<-time.After(w.stop)
	w.stopped = time.Now()
}

// TestWorker_TaskQueuesStopTogether: a worker of several task queues needs one stop timeout, and not one for each.
func TestWorker_TaskQueuesStopTogether(t *testing.T) {
	t.Parallel()
	const timeout = 30 * time.Second
	for name, c := range map[string]struct{ first, second, want time.Duration }{
		"both at once":     {20 * time.Second, 25 * time.Second, 25 * time.Second},
		"whole timeout":    {timeout, timeout, timeout},
		"SDK waits thrice": {3 * timeout, time.Second, timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &Worker{parts: parts{log: slog.New(slog.DiscardHandler)}}
				var closed time.Time
				w.parts.add("connections", func(context.Context) error { closed = time.Now(); return nil })
				w.stopTogether(timeout)
				workers := []*slowWorker{{stop: c.first}, {stop: c.second}}
				began := time.Now()
				for _, sdk := range workers {
					require.NoError(t, w.run(sdk, "queue"))
				}
				require.NoError(t, w.Stop(context.WithoutCancel(t.Context())))
				require.Equal(t, c.want, time.Since(began))
				require.Equal(t, c.want, closed.Sub(began), "connections are closed behind the work")
				<-time.After(max(c.first, c.second))
				synctest.Wait()
				for _, sdk := range workers {
					require.Equal(t, sdk.stop, sdk.stopped.Sub(began))
				}
			})
		})
	}
}

// TestTaskQueues_AcceptedScriptsWaitAtTheServer: a worker takes few of the scripts for which no caller waits, so that a
// flood of them neither fills the places of other scripts nor is turned away by the sandboxes.
func TestTaskQueues_AcceptedScriptsWaitAtTheServer(t *testing.T) {
	t.Parallel()
	atOnce := codeQueues()[step.QueueCodeAsync]
	options, err := SandboxOptions(Config{Log: slog.New(slog.DiscardHandler)}, &egress.Client{})
	require.NoError(t, err)
	require.Equal(t, options.Concurrency, atOnce, "half of the sandboxes run them")
	require.Less(t, atOnce, codeQueues()[step.QueueCode]/8)
	w := &Worker{fatal: newFatal()}
	require.Equal(t, atOnce, w.codeQueueOptions(Config{}, atOnce).MaxConcurrentActivityExecutionSize)
}

// TestTaskQueues_SharedOptions: a worker of any task queue sends the heartbeats of its activities as often as they ask for,
// polls, stops and fails like every other, and belongs to the deployment.
func TestTaskQueues_SharedOptions(t *testing.T) {
	t.Parallel()
	cfg := Config{StopTimeout: 30 * time.Second, Deployment: deployment.Options{Name: "hookturn", BuildID: "1.2.3"}}
	w := &Worker{fatal: newFatal()}
	for queue, o := range map[string]worker.Options{
		step.QueueMain: w.mainQueueOptions(cfg, nil), step.QueueCode: w.codeQueueOptions(cfg, 1),
	} {
		require.Equal(t, time.Second, o.MaxHeartbeatThrottleInterval, queue)
		require.NotNil(t, o.ActivityTaskPollerBehavior, queue)
		require.Zero(t, o.MaxConcurrentActivityTaskPollers, queue)
		require.Equal(t, cfg.StopTimeout, o.WorkerStopTimeout, queue)
		require.True(t, o.DisableRegistrationAliasing, queue)
		require.NotNil(t, o.OnFatalError, queue)
		require.Equal(t, cfg.Deployment.Worker(), o.DeploymentOptions, queue)
	}
}

package app

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
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

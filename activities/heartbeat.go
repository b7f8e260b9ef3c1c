package activities

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/step"
)

const (
	// heartbeatEvery is the shortest time between two heartbeats of an activity.
	heartbeatEvery = time.Second
	// heartbeatsPerSecond is how many heartbeats the webhooks of a worker send together, as long as heartbeatTimeoutMost
	// allows it. Each is a transaction of the server: thousands of slow endpoints must not take the capacity for steps.
	heartbeatsPerSecond = 100
	// heartbeatLate is how late the server gets the heartbeats of the shortest interval, in the worst case.
	heartbeatLate = 1500 * time.Millisecond
	// heartbeatReports is how many times as long as a report to the server takes a heartbeat timeout is.
	heartbeatReports = 10
	// heartbeatTimeoutMost bounds the time after which a lost worker is noticed, which must leave time for another attempt
	// before the common deadline of 30 s.
	heartbeatTimeoutMost = 15 * time.Second
)

// heartbeats keep the normal activities of a process alive, so that a lost worker is noticed within seconds. The zero value
// is ready.
type heartbeats struct{ running atomic.Int64 }

// timeout returns the heartbeat timeout of an activity that is scheduled now: the more activities run, and the longer the
// server takes to store a report, the longer.
func (h *heartbeats) timeout(report time.Duration) time.Duration {
	every := max(heartbeatEvery, time.Duration(h.running.Load())*time.Second/heartbeatsPerSecond)
	return min(max(heartbeatLate+every*3/2, heartbeatReports*report), heartbeatTimeoutMost)
}

// interval returns how often an activity with a heartbeat timeout sends a heartbeat. A third of the timeout, and
// heartbeatLate, remain for one that is late.
func interval(timeout time.Duration) time.Duration {
	return max(heartbeatEvery, (timeout-heartbeatLate)*2/3)
}

// start sends the heartbeats of an activity until stop is called. It goes on when a heartbeat has failed: the SDK ends the
// activity's context then, and a server that is back must learn of the activity.
func (h *heartbeats) start(ctx context.Context, progress func() step.Progress) (stop func()) {
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity {
		return func() {}
	}
	h.running.Add(1)
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(interval(info.HeartbeatTimeout))
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx, progress())
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		h.running.Add(-1)
		close(done)
		<-stopped
	})
}

// heartbeatTimeout is that of an activity that is scheduled now.
func (a *Activities) heartbeatTimeout() time.Duration {
	if a.ReportTime == nil {
		return a.heartbeats.timeout(0)
	}
	return a.heartbeats.timeout(a.ReportTime())
}

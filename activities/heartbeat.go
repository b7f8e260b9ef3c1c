package activities

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

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
	// heartbeatSend bounds sending a heartbeat whose storing is waited for.
	heartbeatSend = 4 * time.Second
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

// start sends the heartbeats of an activity until stop is called: the first one at once, unless it is sent already. It goes
// on when a heartbeat has failed: the SDK ends the activity's context then, and a server that is back must learn of the
// activity.
func (h *heartbeats) start(ctx context.Context, sent bool, progress func() step.Progress) (stop func()) {
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
			if !sent {
				activity.RecordHeartbeat(ctx, progress())
			}
			sent = false
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

// sendHeartbeat sends a heartbeat and returns once the server has stored it. After an error it may be stored all the same.
// The SDK's own heartbeats report no error, and only after some of them the activity's context ends.
func (a *Activities) sendHeartbeat(ctx context.Context, p step.Progress) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatSend)
	defer cancel()
	return a.Heartbeat(ctx, activity.GetInfo(ctx).TaskToken, p)
}

// recordLast records the progress with which an activity fails, for its next try. The SDK may hold the heartbeat back, and
// sends it when the activity has failed, with the activity's context. Where a heartbeat has failed, that context has ended,
// and the SDK would send nothing. An activity that the workflow has cancelled has no next try.
func (a *Activities) recordLast(ctx context.Context, p step.Progress) {
	ended := ctx.Err() != nil && !temporal.IsCanceledError(context.Cause(ctx))
	ctx = context.WithoutCancel(ctx)
	activity.RecordHeartbeat(ctx, p)
	if !ended {
		return
	}
	if err := a.sendHeartbeat(ctx, p); err != nil {
		a.Log.WarnContext(ctx, "sending the last heartbeat of an activity failed",
			"workflow", activity.GetInfo(ctx).WorkflowExecution.ID, "error", err)
	}
}

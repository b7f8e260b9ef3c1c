package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/step"
)

// clock knows how much of a step's time is left. It measures by this machine's clock from the activity's own start; moments
// of the server are compared with each other only. What a background step has waited is not part of its time.
type clock struct {
	began time.Time
	had   time.Duration
}

func clockOf(ctx context.Context, in step.WebhookInput, p step.Progress) clock {
	now := time.Now()
	if in.Left == 0 { // scheduled by a release that did not say
		return clock{began: now, had: in.Deadline.Sub(now)}
	}
	return clock{began: now, had: in.Left - sinceScheduled(ctx) + p.Waited}
}

// sinceScheduled is how long before this try the workflow scheduled the activity, by the server's clock.
func sinceScheduled(ctx context.Context) time.Duration {
	info := activity.GetInfo(ctx)
	return max(info.StartedTime.Sub(info.ScheduledTime), 0)
}

// left is what is left of the step's time, negative when its deadline has passed.
func (c clock) left() time.Duration { return c.had - time.Since(c.began) }

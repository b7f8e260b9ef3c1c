package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/lru"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// A worker that dies between publishing a reply and reporting it leaves a step whose end the engine has read and the
// workflow does not know. Another worker runs the step again: before it asks the endpoint, which may answer
// differently the second time, it looks for the step's own reply.

// findTimeout bounds the search for a reply that is not likely to be stored; step.FindTimeout bounds that for one which is,
// because the server repeats what another worker has begun. A search that fails is followed by the attempt: NATS may be away
// for long.
const findTimeout = 500 * time.Millisecond

// lookBack bounds how long before the latest begin of a step its reply is looked for, when it is not known when
// the event was stored.
const lookBack = time.Hour

// runs are the runs that this process has made attempts for. The zero value is ready.
type runs struct {
	// reassigned holds for each run whether it came from another process, and no attempt was made for it since.
	reassigned lru.Map[string, bool]
}

// markSeen records that an attempt is made for a run. It reports whether that is the first one since the process got the
// run, and whether another process may have had the run before.
func (r *runs) markSeen(run string) (first, reassigned bool) {
	reassigned, known := r.reassigned.Set(run, false)
	return !known || reassigned, reassigned
}

// markReassigned records that another process may have had a run.
func (r *runs) markReassigned(run string) { r.reassigned.Set(run, true) }

// RunReassigned records that a run comes to this process which another one may have had: that one may have made attempts and
// published their replies, or have put a step into its background queue.
func (a *Activities) RunReassigned(run string) {
	a.runs.markReassigned(run)
	a.queuedBefore.Set(run, struct{}{})
}

// storedReply returns the reply of the step that another process has published; nil when there is none. It looks for
// the first attempt of a run that is new to this process, for an event that is not new, for each attempt of a run
// that has come back to it, and whenever the server repeats an activity: its result may have been lost. What this
// process has done itself it remembers.
func (c *call) storedReply(ctx context.Context) *schemas.StepReplied {
	w, info := c.in.Plan.Webhook, activity.GetInfo(ctx)
	if w.Mode == bot.ModeBackground {
		return nil
	}
	repeated := c.in.Reply && !info.IsLocalActivity && info.Attempt > 1
	first, reassigned := c.runs.markSeen(info.WorkflowExecution.RunID)
	old := step.MayBeStored(c.in.Since(), time.Now())
	if len(c.progress.Attempts) > 0 { // the look-up before the first attempt found none
		first, old = false, false
	}
	if !repeated && !reassigned && !first && !old {
		return nil
	}
	patience := findTimeout
	if repeated || reassigned || old {
		patience = step.FindTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, min(patience, max(c.clock.left()/2, time.Millisecond)))
	defer cancel()
	r, err := c.Publisher.Find(ctx, c.address().ConversationKey, c.replyID(), c.earliest())
	if err != nil {
		c.Log.WarnContext(ctx, "looking for an earlier reply failed, the endpoint is called", "event", c.in.Event.ID,
			"step", c.in.Plan.Step, "error", err)
		return nil
	}
	if r == nil {
		return nil
	}
	return repliedOf(*r)
}

// earliest is the earliest moment at which a reply of the step can have been published. A workflow task that the server
// repeats after an outage begins the step again, with a new Accepted; when the event was stored shows how long ago the step
// may have begun before.
func (c *call) earliest() time.Time {
	accepted := c.in.Accepted
	if accepted.IsZero() {
		accepted = c.in.Deadline.Add(-c.in.Plan.Webhook.Timeout.D())
	}
	since := accepted
	switch stored := c.in.Since(); {
	case stored.IsZero(), !stored.Before(accepted):
	case accepted.Sub(stored) <= step.RepliesKept:
		since = stored
	default:
		since = accepted.Add(-lookBack)
	}
	return since.Add(-step.ClockSlack)
}

// adopt makes the end of the attempt that of a reply which the engine has already.
func (c *call) adopt(ctx context.Context, r schemas.StepReplied) attempted {
	c.Log.InfoContext(ctx, "reply found, the step takes it over", "event", c.in.Event.ID, "step", c.in.Plan.Step,
		"outcome", r.Outcome)
	c.flight.Keep = true
	c.progress.Attempts = r.Attempts
	result, failed := c.in.Adopt(r)
	if failed == nil {
		result.ReplyID = c.replyID()
	}
	return attempted{result: result, failed: failed, progress: c.progress, adopted: true}
}

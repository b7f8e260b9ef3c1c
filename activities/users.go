package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// keepUserDetails merges the endpoint's update into the user's store, in the store's own order of changes. The endpoint has
// done its work and must not be asked again for the store's sake: an update that is over the limit, that a later step has
// overtaken, or that cannot be kept while this activity may run, is reported as the answer's problem, and the messages are
// delivered all the same.
func (c *call) keepUserDetails(ctx context.Context, result *step.WebhookResult) {
	in := c.in
	result.UserDetails = c.progress.UserDetails
	if result.UserDetailsUpdate == nil || in.User.ID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(step.KeepTimeout, max(c.clock.left(), step.ReplyTimeout)))
	defer cancel()
	after, err := c.storeUserDetails(ctx, result.UserDetailsUpdate)
	result.UserDetails = after.Details
	if err == nil {
		if after.Written != nil {
			result.Wrote = step.NewUserWrite(in.User.ID, after.Written, c.progress.UserDetails)
		}
		result.Problem = cmp.Or(result.Problem, c.overtakenMembers(ctx, after))
		return
	}
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		f = fault.Wrap(fault.Internal, err, "user_details could not be kept: NATS did not answer")
		result.UserDetails = c.progress.UserDetails
		result.Wrote = step.NewUserWrite(in.User.ID, result.UserDetailsUpdate, c.progress.UserDetails)
		result.Wrote.Failed = true
	}
	c.Log.WarnContext(ctx, "user details not kept", "event", in.Event.ID, "step", in.Plan.Step, "kind", f.Kind, "error", err)
	result.Problem = cmp.Or(result.Problem, f)
}

// storeUserDetails writes an update to the user's store, trying again until its context ends.
func (c *call) storeUserDetails(ctx context.Context, update json.RawMessage) (after store.UserDetails, err error) {
	write := store.UserUpdate{
		Members: update, Fence: fenceOf(ctx, c.in), Writer: c.replyID(), Merge: c.dialect.MergeUserDetails,
	}
	err = backoff.Retry(func() (err error) {
		after, err = c.Users.Update(ctx, c.in.Plan.Tenant, c.in.User.ID, write)
		if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.TooLarge {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond)), ctx))
	return after, err
}

// overtakenMembers reports that members of an update were not stored, because a later step had written them: nil when all
// were. The message does not name them: names are part of the endpoint's answer.
func (c *call) overtakenMembers(ctx context.Context, after store.UserDetails) *fault.Fault {
	if after.Dropped == 0 {
		return nil
	}
	f := fault.New(fault.Expired,
		"members of user_details not stored, because a step that began later has written them: %d", after.Dropped)
	c.Log.InfoContext(ctx, "user details of a later step kept", "event", c.in.Event.ID, "step", c.in.Plan.Step,
		"kind", f.Kind, "dropped", after.Dropped)
	return f
}

// undoUserDetails undoes what an attempt wrote to the user's details, so that they are those of the reply that stands: that
// of another attempt, which was published before, or the attempt's own when it reports that they could not be kept. An error
// is NATS's: until it can be reached, what the next step would read is not known, and undoing is tried again.
func (a *Activities) undoUserDetails(ctx context.Context, in step.PublishInput, before *schemas.Reply) error {
	if in.Wrote == nil || before == nil && !in.Wrote.Failed {
		return nil
	}
	stands := &in.Reply
	if before != nil {
		stands = before
	}
	read := repliedOf(*stands)
	if read == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), step.UndoTimeout)
	defer cancel()
	members, err := in.Wrote.Undone(read.UserDetails)
	readable := err == nil
	if readable {
		err = a.Users.Undo(ctx, in.Tenant, in.Wrote.User, in.Reply.ID, members)
		readable = !errors.Is(err, store.ErrUnreadable)
	}
	if err == nil {
		return nil
	}
	a.Log.WarnContext(ctx, "user details differ from the reply", "tenant", in.Tenant, "bot", in.Bot,
		"event", read.EventID, "step", read.Step, "error", err)
	if !readable {
		return nil
	}
	return fault.Wrap(fault.Internal, err, "user_details could not be undone: NATS did not answer")
}

// settleUserDetails makes the user's details those of a reply that was stored before this attempt. Another attempt may have
// written its own, and have ended with its worker before it could undo them.
func (c *call) settleUserDetails(ctx context.Context, read schemas.StepReplied) {
	if c.in.User.ID == "" || len(read.UserDetails) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), step.UndoTimeout)
	defer cancel()
	if err := c.Users.Settle(ctx, c.in.Plan.Tenant, c.in.User.ID, read.UserDetails, c.replyID()); err != nil {
		c.Log.WarnContext(ctx, "user details may differ from the reply", "event", c.in.Event.ID, "step", c.in.Plan.Step,
			"error", err)
	}
}

// triesOrdered is how many tries of an activity have an order among each other. A fence counts nanoseconds: all tries of a
// step are before the next step of its conversation, which begins more than a microsecond later.
const triesOrdered = 999

// fenceOf orders the writes of steps to what outlives them: a worker that was stopped in the middle of a step must not
// overwrite what a later step has written, nor what a later try of the step has. A local activity comes before the tries of
// the activity that follows it. 0 = no order, for steps that an earlier release has begun.
func fenceOf(ctx context.Context, in step.WebhookInput) int64 {
	fence := stepFence(in)
	if info := activity.GetInfo(ctx); fence != 0 && !info.IsLocalActivity {
		fence += min(int64(info.Attempt), triesOrdered)
	}
	return fence
}

// stepFence is the fence of a step without an order of its tries.
func stepFence(in step.WebhookInput) int64 {
	if began := beganAt(in); !began.IsZero() {
		return began.UnixNano()
	}
	return 0
}

// beganAt is when a step began, by the server's clock; the zero time when it is not known. A step cannot begin before its
// event was stored, by the clock of NATS: a server whose clock is behind does not put it before the steps of another server.
func beganAt(in step.WebhookInput) time.Time {
	if in.Accepted.IsZero() || in.Accepted.After(in.Stored) {
		return in.Accepted
	}
	return in.Stored
}

func (a *Activities) readUserDetails(ctx context.Context, in step.WebhookInput, p *step.Progress) *fault.Fault {
	if p.Read || in.User.ID == "" {
		return nil
	}
	stored, err := a.Users.Get(ctx, in.Plan.Tenant, in.User.ID)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, err, "NATS did not return the user's details in time")
	}
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the user's details cannot be read from NATS")
	}
	p.UserDetails, p.Read = stored, true
	return nil
}

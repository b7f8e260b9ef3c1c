package activities

import (
	"context"
	"encoding/json"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// publishReplied publishes the end of a step that was answered and returns the reply's id, "" when NATS did not take it
// within step.ReplyTimeout: a NATS that needs longer is the workflow's to wait for. A reply that another attempt of the step
// has published before stands, and is returned.
func (c *call) publishReplied(ctx context.Context, result *step.WebhookResult) (id string, stored *schemas.StepReplied) {
	in := &c.in
	result.FitVariables(in.Variables)
	data := in.Replied(*result, nil)
	run := activity.GetInfo(ctx).WorkflowExecution
	data.Workflow = schemas.WorkflowRef{ID: run.ID, RunID: run.RunID}
	publish, err := c.address().Reply(schemas.TypeStepReplied, time.Now(), data)
	if err != nil {
		return "", nil // the workflow comes to the same and logs it
	}
	publish.Wrote, publish.Closing, publish.Began = result.Wrote, in.Closing(data, publish.Reply.Time), beganAt(*in)
	ctx, cancel := context.WithTimeout(ctx, step.ReplyTimeout)
	defer cancel()
	published, err := c.PublishReply(ctx, publish)
	if err != nil {
		return "", nil
	}
	result.Wrote = nil
	if published != nil {
		stored = published.Stored
	}
	if published != nil && published.Closed {
		result.Closed = in.Closes(data)
	}
	return publish.Reply.ID, stored
}

func (c *call) address() step.Address {
	return step.Address{
		ConversationKey: c.in.Plan.BotID.WithConversation(c.in.Event.Subject), Event: c.in.Event, Stored: c.in.Stored,
		Plan: &c.in.Plan, Accepted: c.in.Arrived,
	}
}

// replyID is the id of the step's reply. It names the step in the user's details, too.
func (c *call) replyID() string { return c.address().ReplyID(schemas.TypeStepReplied) }

// PublishReply puts one reply on NATS, trying again until its context ends. A step.replied that was there already is the
// result: the engine has read it. A reply that no message can hold fails for good with the type too_large.
func (a *Activities) PublishReply(ctx context.Context, in step.PublishInput) (*step.Published, error) {
	if in.Withheld || a.overtaken(ctx, in) || a.deletedFromQueue(ctx, in) || a.aboutSessions(ctx, in) {
		return nil, nil
	}
	started := time.Now()
	before, err := a.publishReply(ctx, in)
	if err != nil {
		return nil, a.notPublished(ctx, in, err)
	}
	if before == nil {
		a.Metrics.Reply(in.BotID, in.Reply.Type, time.Since(started))
	}
	a.measure(in, before)
	if err := a.endSession(ctx, in); err != nil {
		return nil, err // the same reply is stored once
	}
	if err := a.undoUserDetails(ctx, in, before); err != nil {
		return nil, err // the reply is found when this is tried again
	}
	switch {
	case before == nil && in.Closing != nil:
		return a.publishClosing(ctx, in), nil
	case before == nil || in.Reply.Type != schemas.TypeStepReplied:
		return nil, nil
	}
	return &step.Published{Stored: repliedOf(*before)}, nil
}

// notPublished logs why a reply is not published, and returns the error of the activity.
func (a *Activities) notPublished(ctx context.Context, in step.PublishInput, err error) error {
	a.Log.Log(ctx, natsclient.RetryLevel(err), "publishing a reply failed, will retry",
		"tenant", in.Tenant, "bot", in.Bot, "conversation", in.Reply.Subject, "reply", in.Reply.ID, "error", err)
	f := fault.Of(err)
	return temporal.NewApplicationErrorWithOptions(f.Error(), string(f.Kind),
		temporal.ApplicationErrorOptions{NonRetryable: f.Kind == fault.TooLarge})
}

// publishClosing publishes the conversation.closed that follows a reply. The reply is stored and stands: a close that could
// not be published is the workflow's.
func (a *Activities) publishClosing(ctx context.Context, in step.PublishInput) *step.Published {
	_, err := a.PublishReply(ctx, step.PublishInput{BotID: in.BotID, Reply: *in.Closing, Sent: in.Sent, Began: in.Began})
	return &step.Published{Closed: err == nil}
}

// overtaken reports whether a progress message comes too late: the reply to its event is stored. The workflow publishes a
// progress message before the reply; but when the worker that published the reply is lost before the server has its
// workflow task, and the soft deadline passes meanwhile, the repeated task finds both at once.
func (a *Activities) overtaken(ctx context.Context, in step.PublishInput) bool {
	if in.Reply.Type != schemas.TypeStepProgress {
		return false
	}
	var progress schemas.StepProgress
	if json.Unmarshal(in.Reply.Data, &progress) != nil {
		return false
	}
	of, now := in.BotID.WithConversation(in.Reply.Subject), time.Now()
	since := in.Reply.Time.Add(-lookBack)
	if step.MayBeStored(in.Sent, now) && in.Sent.Before(since) {
		since = in.Sent.Add(-step.ClockSlack)
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	stored, err := a.Publisher.Find(ctx, of, schemas.ReplyID(of, progress.EventID, schemas.TypeStepReplied), since)
	return err == nil && stored != nil
}

// measure records how long the step took until the engine had its reply: the one that was stored before, when there was one.
func (a *Activities) measure(in step.PublishInput, before *schemas.Reply) {
	t := in.Timing
	if t == nil {
		return
	}
	until := time.Now()
	if before != nil {
		until = before.Time
	}
	took := max(until.Sub(t.Accepted), 0) // the worker's clock may be behind the server's
	a.Metrics.Step(in.BotID, t.Step, string(t.Outcome), t.Answered(took), took)
}

// publishReply publishes a reply unless it is stored.
func (a *Activities) publishReply(ctx context.Context, in step.PublishInput) (*schemas.Reply, error) {
	if since, may := mayBeStored(ctx, in); may {
		looking, cancel := context.WithTimeout(ctx, step.FindTimeout)
		stored, err := a.Publisher.Find(looking, in.BotID.WithConversation(in.Reply.Subject), in.Reply.ID, since)
		cancel()
		switch {
		case err == nil && stored != nil:
			return stored, nil
		case err != nil && in.Replied:
			return nil, err
		}
	}
	of := telemetry.StepSpan{BotID: in.BotID, TraceParent: in.Reply.TraceParent, TraceState: in.Reply.TraceState}
	if in.Timing != nil {
		of.Step = in.Timing.Step
	}
	span := a.Traces.Reply(of, in.Reply.Type, in.Reply.ID)
	if span != nil {
		in.Reply.TraceParent, in.Reply.TraceState = span.Parent()
	}
	before, err := a.Publisher.Publish(ctx, in.BotID, in.Reply)
	if err == nil && before == nil {
		span.End("")
	}
	return before, err
}

// mayBeStored reports whether a reply may be stored for longer than the stream recognises ids, and since when: this is a
// repeated try, or the event is not new. So may one that another run publishes, too; publishing it again would announce it
// again. A reply that an attempt of the step has found is stored.
func mayBeStored(ctx context.Context, in step.PublishInput) (since time.Time, may bool) {
	since, may = in.Reply.Time, in.Replied || activity.GetInfo(ctx).Attempt > 1
	if (in.Replied || in.Shared || step.MayBeStored(in.Sent, time.Now())) && in.Sent.Before(since) {
		since, may = in.Sent, true
	}
	return since.Add(-step.ClockSlack), may
}

// repliedOf reads the data of a step.replied, nil when it cannot be read.
func repliedOf(r schemas.Reply) *schemas.StepReplied {
	var data schemas.StepReplied
	if json.Unmarshal(r.Data, &data) != nil {
		return nil
	}
	return &data
}

package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// How a step's end is recorded and published: its reply on NATS, its line in the Temporal UI, its search attributes.

// reject answers a delivery as rejected.
func (c *conversation) reject(ctx workflow.Context, r *rejection) step.Result {
	done, sent, _ := c.reply(ctx, &r.delivery, nil, step.Rejected(r.delivery.Event, r.fault), step.WebhookResult{})
	c.record(ctx, workflow.Now(ctx), sent)
	return done
}

// reply publishes the end of a step, unless the activity that had the answer has: then the answer has the reply's id. It
// returns what the engine got besides the Update's result. When that is what an earlier attempt has published, it is part
// of the conversation, and the answer must not be. The result has a Closed when conversation.closed is published, too; in is
// the step that ends, nil for an event that is rejected.
func (c *conversation) reply(
	ctx workflow.Context, d *step.Delivery, in *step.WebhookInput, data schemas.StepReplied, answer step.WebhookResult,
) (done step.Result, sent schemas.StepReplied, adopted bool) {
	sent, id, closed := data, answer.ReplyID, answer.Closed
	if id == "" {
		data.Workflow = c.workflow
		var published step.Published
		id, sent, published = publishReplied(ctx, c.timed(d), data, answer, in.Closing(data, workflow.Now(ctx)))
		if adopted = published.Stored != nil; adopted {
			c.adopt(sent)
		}
		if published.Closed {
			closed = in.Closes(sent)
		}
	}
	done = step.Result{
		Outcome: sent.Outcome, Attempts: len(sent.Attempts), ReplyID: id, UserText: userText(sent), Closed: closed,
	}
	if sent.Error != nil {
		done.Error = sent.Error.Kind
	}
	return done, sent, adopted
}

// record keeps the end of a step for the run's result and the UI, and writes the search attributes that it changes.
func (c *conversation) record(ctx workflow.Context, started time.Time, sent schemas.StepReplied) {
	r := step.Recent{
		At: started, Step: sent.Step, Outcome: sent.Outcome, Attempts: len(sent.Attempts),
		Millis: workflow.Now(ctx).Sub(started).Milliseconds(), UserText: userText(sent),
	}
	if sent.Error != nil {
		r.Error = sent.Error.Kind
	}
	c.state.Steps++
	c.state.LastOutcome = sent.Outcome
	c.state.Recent = keepLatest(append(c.state.Recent, r))
	if failure(sent.Outcome) {
		c.state.Failed++
		c.state.Failures = keepLatest(append(c.state.Failures, r))
	}
	c.upsertOutcome(ctx, sent.Step, string(sent.Outcome))
}

// publishMissing publishes which mandatory entities the waiting step lacks.
func (c *conversation) publishMissing(ctx workflow.Context, waiting *step.Delivery, missing []string, d step.Delivery,
) step.Result {
	id := publish(ctx, c.address(d.Event, d.Stored), schemas.TypeStepWaiting, schemas.StepWaiting{
		EventID: waiting.Event.AskedID(), Step: waiting.Event.Data.Step, Missing: missing, Workflow: c.workflow,
	})
	if c.state.Format != step.FormatLingering {
		c.upsertOutcome(ctx, waiting.Event.Data.Step, step.OutcomeWaiting)
	}
	return step.Result{Waiting: missing, ReplyID: id}
}

// close publishes that the conversation ended, unless that went out with the reply, and drops what belonged to it.
// Ids of events and who the user is stay.
func (c *conversation) close(ctx workflow.Context, reason string, published bool) {
	if !published {
		c.publishClosed(ctx, reason, c.state.LastStored)
	}
	c.closed = reason
	c.state.Open, c.state.Entities, c.state.Variables, c.state.ConversationDetails = false, nil, nil, nil
	c.state.Waiting, c.state.HandedTo = nil, ""
	c.state.Round, c.state.Params = "", nil
}

// publishClosed publishes that the conversation ended, which it cannot have done before a moment.
func (c *conversation) publishClosed(ctx workflow.Context, reason string, since time.Time) {
	last := schemas.Event{ID: c.state.LastEventID}
	data := schemas.ConversationClosed{Reason: reason, Workflow: c.workflow}
	publish(ctx, c.address(last, since), schemas.TypeConversationClosed, data)
}

func (c *conversation) address(e schemas.Event, stored time.Time) step.Address {
	return step.Address{ConversationKey: c.state.ConversationKey, Event: e, Stored: stored}
}

// timed is the address of the reply that ends a delivery.
func (c *conversation) timed(d *step.Delivery) step.Address {
	to := c.address(d.Event, d.Stored)
	to.Plan, to.Accepted = d.Plan, c.arrived
	return to
}

// userText is the beginning of the text that the user read when a step failed, for the people who look at the run.
func userText(data schemas.StepReplied) string {
	if data.Outcome != schemas.OutcomeBotBreak || len(data.Messages) == 0 {
		return ""
	}
	return cut(data.Messages[0].Text, userTextMax)
}

// failure reports whether an outcome counts as a failed step.
func failure(o schemas.Outcome) bool {
	switch o {
	case schemas.OutcomeBotBreak, schemas.OutcomeFailure, schemas.OutcomeUndelivered, schemas.OutcomeHandover,
		schemas.OutcomeContinued:
		return true
	}
	return false
}

// accepted makes the data of step.replied for a step that runs in the background, or that found its queue full.
func accepted(in step.WebhookInput, queueFault *fault.Fault) schemas.StepReplied {
	r := schemas.StepReplied{
		EventID: in.Event.AskedID(), Step: in.Plan.Step, Outcome: schemas.OutcomeAccepted, Conversation: schemas.ConversationOpen,
		ConversationDetails: in.ConversationDetails,
	}
	if queueFault != nil {
		r.Outcome, r.Error = schemas.OutcomeFailure, step.ErrorOf(queueFault)
	}
	return r
}

// reference points at the running workflow, for the reply.
func reference(ctx workflow.Context) schemas.WorkflowRef {
	info := workflow.GetInfo(ctx)
	return schemas.WorkflowRef{ID: info.WorkflowExecution.ID, RunID: info.WorkflowExecution.RunID}
}

package workflows

import (
	"maps"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// runStep runs one step to its reply and takes over what it changed.
func (c *conversation) runStep(ctx workflow.Context, d *step.Delivery) step.Result {
	started := workflow.Now(ctx)
	in := step.WebhookInput{
		Plan: *d.Plan, Event: withoutEntities(*d).Event, // they are among the conversation's
		User: c.state.User, ConversationNo: c.state.ConversationNo,
		Entities: c.state.Entities, Variables: c.state.Variables, Details: c.state.Details,
	}
	var data schemas.StepReplied
	var replyID string
	if queued(d.Plan) {
		data = accepted(in, enqueue(ctx, step.Queued{Conversation: c.state.Conversation, Webhook: in}))
	} else {
		result, failed := c.answer(ctx, d, in)
		if failed == nil {
			c.takeOver(&result)
		}
		data, replyID = in.Replied(result, failed), result.ReplyID
	}
	done := c.reply(ctx, d.Event, data, replyID)
	c.record(step.Recent{
		At: started, Step: data.Step, Outcome: done.Outcome, Error: done.Error, Attempts: len(data.Attempts),
		Millis: workflow.Now(ctx).Sub(started).Milliseconds(),
	})
	switch {
	case d.Event.Type == schemas.TypeConversationHandover:
		if data.Outcome == schemas.OutcomeDelivered {
			c.state.HandedTo = d.Plan.Adapter.Name
		}
	case data.Conversation == schemas.ConversationComplete:
		done.Closed = schemas.ClosedCompleted
	case data.Conversation == schemas.ConversationHandover:
		done.Closed = schemas.ClosedHandover
	}
	if done.Closed != "" {
		c.close(ctx, done.Closed)
	}
	return done
}

// answer asks whoever answers for the step: its script or its endpoint.
func (c *conversation) answer(ctx workflow.Context, d *step.Delivery, in step.WebhookInput) (
	step.WebhookResult, *fault.Fault,
) {
	if d.Plan.Code != nil {
		return runCode(ctx, in)
	}
	return c.callEndpoint(ctx, d, in)
}

// takeOver makes what the endpoint changed part of the conversation.
func (c *conversation) takeOver(result *step.WebhookResult) {
	if result.Details != nil {
		c.state.Details = result.Details
	}
	result.FitVariables(c.state.Variables)
	c.setVariables(result.Variables)
}

// setVariables sets variables, or deletes those without a value. The old map stays as it is: an activity may have it.
func (c *conversation) setVariables(changes map[string]*string) {
	if len(changes) == 0 {
		return
	}
	variables := maps.Clone(c.state.Variables)
	if variables == nil {
		variables = make(map[string]string, len(changes))
	}
	for _, name := range workflow.DeterministicKeys(changes) {
		if value := changes[name]; value != nil {
			variables[name] = *value
		} else {
			delete(variables, name)
		}
	}
	c.state.Variables = variables
}

// reject answers a delivery as rejected.
func (c *conversation) reject(ctx workflow.Context, r *refusal) step.Result {
	data := rejected(r)
	c.record(step.Recent{At: workflow.Now(ctx), Step: data.Step, Outcome: data.Outcome, Error: data.Error.Kind})
	return c.reply(ctx, r.delivery.Event, data, "")
}

// reply publishes the end of a step, unless the activity that had the answer has: then it brings the reply's id. It marks
// the run for searches when the end is an unusual one.
func (c *conversation) reply(ctx workflow.Context, e schemas.Event, data schemas.StepReplied, id string) step.Result {
	sent := data
	if id == "" {
		data.Workflow = c.workflow
		id, sent = publishReplied(ctx, c.address(e), data)
	}
	result := step.Result{Outcome: sent.Outcome, Attempts: len(sent.Attempts), ReplyID: id}
	if sent.Error != nil {
		result.Error = sent.Error.Kind
	}
	c.mark(ctx, sent)
	return result
}

func (c *conversation) tellMissing(ctx workflow.Context, waiting *step.Delivery, missing []string, e schemas.Event,
) step.Result {
	id := publish(ctx, c.address(e), schemas.TypeStepWaiting, schemas.StepWaiting{
		EventID: waiting.Event.ID, Step: waiting.Event.Data.Step, Missing: missing, Workflow: c.workflow,
	})
	return step.Result{Waiting: missing, ReplyID: id}
}

// close tells the engine that the conversation ended and forgets what belonged to it. Ids of events and who the user is
// stay: the run lives on until it is idle, so that redeliveries are known.
func (c *conversation) close(ctx workflow.Context, reason string) {
	last := schemas.Event{ID: c.state.LastEventID}
	data := schemas.ConversationClosed{Reason: reason, Workflow: c.workflow}
	publish(ctx, c.address(last), schemas.TypeConversationClosed, data)
	c.state.Open, c.state.Entities, c.state.Variables, c.state.Details = false, nil, nil, nil
	c.state.Waiting, c.state.HandedTo = nil, ""
}

func (c *conversation) address(e schemas.Event) step.Address {
	return step.Address{ConversationKey: c.state.BotID.WithConversation(c.state.Conversation), Event: e}
}

// mark lets a search find the run by the unusual end of a step. An upsert costs an event and a visibility write, so
// success is not marked, nor the same end twice in a row.
func (c *conversation) mark(ctx workflow.Context, data schemas.StepReplied) {
	end := ending{step: data.Step, outcome: data.Outcome}
	if !unusual(data.Outcome) || end == c.marked {
		return
	}
	c.marked = end
	upsertEnd(ctx, data)
}

// ending is what the search attributes of a run say of its latest unusual step.
type ending struct {
	step    string
	outcome schemas.Outcome
}

func unusual(o schemas.Outcome) bool {
	return o != schemas.OutcomeSuccess && o != schemas.OutcomeDelivered && o != schemas.OutcomeAccepted
}

func upsertEnd(ctx workflow.Context, data schemas.StepReplied) {
	err := workflow.UpsertTypedSearchAttributes(ctx,
		temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(data.Step),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeOutcome).ValueSet(string(data.Outcome)))
	if err != nil {
		workflow.GetLogger(ctx).Warn("search attributes were not set", "error", err)
	}
}

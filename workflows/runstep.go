package workflows

import (
	"maps"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// runStep runs one step to its reply and takes over what it changed.
func (c *conversation) runStep(ctx workflow.Context, d *step.Delivery) step.Result {
	started := workflow.Now(ctx)
	defer func() { c.steps++ }()
	in := step.WebhookInput{
		Plan: *d.Plan, Event: withoutEntities(*d).Event, // they are among the conversation's
		User: c.state.User, ConversationNo: c.state.ConversationNo,
		Entities: c.state.Entities, Variables: c.state.Variables,
		ConversationDetails: c.state.ConversationDetails, Round: c.state.Round, Params: c.state.Params, Arrived: c.arrived,
		Stored:        d.Stored,
		FailureCloses: c.state.Format >= step.FormatFailureCloses,
	}
	if c.attemptPublishes() {
		in.CloseEvent = c.state.LastEventID
	}
	var data schemas.StepReplied
	var result step.WebhookResult // stays empty when the step has no answer
	if queued(d.Plan) {
		entry := step.Queued{Conversation: c.state.Conversation, Webhook: in}
		entry.Webhook.UsefulUntil = d.UsefulUntil
		if c.state.Format >= step.FormatKeepsAccepted {
			entry.Workflow = c.workflow
		}
		data = accepted(in, enqueue(ctx, entry))
	} else {
		answer, failed := c.answer(ctx, d, in)
		answer.FitVariables(c.state.Variables)
		data = in.Replied(answer, failed)
		if result.ReplyID, result.Replied = answer.ReplyID, answer.Replied; failed == nil {
			result = answer
		}
	}
	done, sent, adopted := c.reply(ctx, d, &in, data, result)
	if !adopted {
		c.takeOver(result)
	}
	c.record(ctx, started, sent)
	if d.Event.Type == schemas.TypeConversationHandover && sent.Outcome == schemas.OutcomeDelivered {
		c.state.HandedTo = d.Plan.Adapter.Name
	}
	if reason := in.Closes(sent); reason != "" {
		c.close(ctx, reason, done.Closed != "")
		done.Closed = reason
	}
	return done
}

// answer runs the step's script, or asks its endpoint.
func (c *conversation) answer(ctx workflow.Context, d *step.Delivery, in step.WebhookInput) (
	step.WebhookResult, *fault.Fault,
) {
	if d.Plan.Code != nil {
		return runCode(ctx, in)
	}
	return c.callEndpoint(ctx, d, in)
}

// takeOver makes what the endpoint changed part of the conversation.
func (c *conversation) takeOver(result step.WebhookResult) {
	if result.ConversationDetails != nil {
		c.state.ConversationDetails = result.ConversationDetails
	}
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

package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Step runs one step on its own, for bots with "ordering: none". It has no conversation around it: entities are those of
// the event, conversation_details start empty, and a step that lacks mandatory entities is rejected, because there is
// nothing that could collect them.
//
// It also runs the script of a channel, which has no conversation and publishes nothing: its result is the workflow's.
func Step(ctx workflow.Context, in step.Request) (step.Result, error) {
	if in.Script != nil {
		return runScript(ctx, *in.Script, in.Format)
	}
	workflow.SetCurrentDetails(ctx, "**"+in.Delivery.Event.Data.Step+"** of conversation `"+in.Conversation+"` runs")
	c := &conversation{
		state: step.State{ConversationKey: in.BotID.WithConversation(in.Conversation), LastEventID: in.Delivery.Event.ID,
			LastStored: in.Delivery.Since(), Format: in.Format},
		workflow: reference(ctx), arrived: workflow.Now(ctx),
	}
	if err := c.listenForCallbacks(ctx); err != nil {
		return step.Result{}, err
	}
	d := in.Delivery
	c.mergeEvent(d)
	if d.Event.Type != schemas.TypeStepRequested { // it goes to an adapter, and belongs to no session
		c.state.Round = ""
	}
	a := decide(c.state, d, workflow.Now(ctx))
	if a.wait != nil {
		f := fault.New(fault.BadEvent, "mandatory entities are missing: %s (a bot without ordering cannot wait for them)",
			strings.Join(a.missing, ", "))
		a = action{reject: &rejection{d, f}}
	}
	result := c.apply(ctx, a, d)
	if in.Format != step.FormatLingering {
		c.upsertLast(ctx)
	}
	c.setCurrentDetails(ctx)
	return result, workflow.Await(ctx, c.idle) // a late answer may still come
}

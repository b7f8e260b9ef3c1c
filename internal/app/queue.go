package app

import (
	"context"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/step"
)

// wake starts the workflow of a background queue, or signals the one that runs. The queue itself is in JetStream: a signal
// says only that there is something to look at.
func wake(c client.Client) activities.Wake {
	return func(ctx context.Context, q step.Queue) error {
		id := step.QueueID(q.BotID, q.Step)
		_, err := c.SignalWithStartWorkflow(ctx, id, step.SignalQueued, nil, client.StartWorkflowOptions{
			ID:                  id,
			TaskQueue:           step.QueueMain,
			WorkflowTaskTimeout: intake.WorkflowTaskTimeout,
			Priority:            temporal.Priority{FairnessKey: q.Tenant},
			StaticSummary:       q.Bot + ": background queue of " + q.Step,
			TypedSearchAttributes: temporal.NewSearchAttributes(
				temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(q.Tenant),
				temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(q.Bot),
				temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(q.Step)),
		}, step.WorkflowQueue, q)
		return err
	}
}

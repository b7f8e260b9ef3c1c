package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// visible is what the search attributes of the run say of its latest step.
type visible struct {
	step    string
	outcome string
	failed  int
}

// visibleAtStart is what the search attributes hold when the run starts: those of the run that it continues.
func visibleAtStart(ctx workflow.Context) (v visible) {
	attributes := workflow.GetTypedSearchAttributes(ctx)
	v.step, _ = attributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(step.AttributeStep))
	v.outcome, _ = attributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(step.AttributeOutcome))
	failed, _ := attributes.GetInt64(temporal.NewSearchAttributeKeyInt64(step.AttributeFailures))
	v.failed = int(failed)
	return v
}

// upsertOutcome lets a search find the run by the outcome of its latest step. An upsert costs an event of history and a
// visibility write, so an ordinary outcome is written only where it takes the place of an unusual one; the end of the run
// writes the last.
func (c *conversation) upsertOutcome(ctx workflow.Context, stepName, outcome string) {
	next := visible{step: stepName, outcome: outcome, failed: c.state.Failed}
	if c.state.Format == step.FormatLingering {
		next.failed = 0
		if ordinary(outcome) {
			return
		}
	}
	if next == c.visible || ordinary(outcome) && ordinary(c.visible.outcome) {
		return
	}
	c.upsert(ctx, next)
}

// upsertLast writes the outcome of the latest step when the run ends.
func (c *conversation) upsertLast(ctx workflow.Context) {
	last := len(c.state.Recent) - 1
	if last < 0 {
		return
	}
	r := c.state.Recent[last]
	if next := (visible{step: r.Step, outcome: string(r.Outcome), failed: c.state.Failed}); next != c.visible {
		c.upsert(ctx, next)
	}
}

func (c *conversation) upsert(ctx workflow.Context, next visible) {
	attributes := stepAttributes(next.step, next.outcome)
	if next.failed != c.visible.failed {
		attributes = append(attributes,
			temporal.NewSearchAttributeKeyInt64(step.AttributeFailures).ValueSet(int64(next.failed)))
	}
	c.visible = next
	upsertAttributes(ctx, attributes...)
}

func upsertAttributes(ctx workflow.Context, attributes ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err != nil {
		workflow.GetLogger(ctx).Warn("setting search attributes failed", "error", err)
	}
}

// ordinary reports whether a search seldom asks for an outcome.
func ordinary(outcome string) bool {
	switch schemas.Outcome(outcome) {
	case "", schemas.OutcomeSuccess, schemas.OutcomeDelivered, schemas.OutcomeAccepted:
		return true
	}
	return false
}

func stepAttributes(stepName, outcome string) []temporal.SearchAttributeUpdate {
	return []temporal.SearchAttributeUpdate{
		temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(stepName),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeOutcome).ValueSet(outcome),
	}
}

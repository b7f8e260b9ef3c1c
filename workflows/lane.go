package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// lane lets Updates through one at a time, in the order in which they arrived.
type lane struct {
	joined  int // tickets given out
	serving int // the ticket whose turn it is
}

// enter takes a ticket and waits for its turn. An operator's cancellation does not jump the queue: what was accepted is
// answered first.
func (l *lane) enter(ctx workflow.Context) {
	ticket := l.joined
	l.joined++
	if l.serving == ticket {
		return
	}
	patient, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	_ = workflow.Await(patient, func() bool { return l.serving == ticket })
}

func (l *lane) leave() { l.serving++ }

// quiet says that every Update that was accepted has been answered.
func (l *lane) quiet() bool { return l.serving == l.joined }

// entitiesWith is the size of the conversation's entities once an event's are noted, in bytes of JSON values.
func (c *conversation) entitiesWith(d step.Delivery) int {
	size := 0
	for _, entities := range []map[string][]schemas.Entity{c.state.Entities, d.Event.Data.Entities} {
		//workflowcheck:ignore a sum does not depend on the order
		for name, detections := range entities {
			size += len(name)
			for _, e := range detections {
				size += len(e.Detection) + len(e.OriginalText) + len(e.EntityValue)
			}
		}
	}
	return size
}

// tooLarge says why an event's step cannot be kept in the conversation's state, nil when it can.
func (c *conversation) tooLarge(d step.Delivery) *fault.Fault {
	if c.entitiesWith(d) > entitiesMax {
		return fault.New(fault.TooLarge, "the conversation's entities would exceed %d bytes", entitiesMax)
	}
	if d.Plan == nil || len(missing(d.Plan.Requires, d.Event.Data.Entities)) == 0 {
		return nil
	}
	size := len(d.Event.Data.Message)
	//workflowcheck:ignore a sum does not depend on the order
	for _, value := range d.Event.Data.Params {
		size += len(value)
	}
	//workflowcheck:ignore a sum does not depend on the order
	for _, value := range d.Event.Data.Variables {
		size += len(value)
	}
	if size > waitingMax {
		return fault.New(fault.TooLarge, "a step that may wait for entities takes at most %d bytes of data", waitingMax)
	}
	return nil
}

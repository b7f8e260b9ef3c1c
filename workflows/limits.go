package workflows

import (
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// What a conversation keeps travels in the input of its next run, which Temporal takes up to 2 MiB. All in bytes of JSON.
const (
	// entitiesMax bounds the entities of one conversation.
	entitiesMax = 512 << 10
	// userMax bounds what an engine says of its user.
	userMax = 16 << 10
	// waitingMax bounds a delivery that may wait for entities, without the entities it brings.
	waitingMax = 256 << 10
)

// tooLarge says why an event cannot be taken into the conversation's state, nil when it can.
func tooLarge(s step.State, d step.Delivery) *fault.Fault {
	if entitiesWith(s.Entities, d.Event.Data.Entities) > entitiesMax {
		return fault.New(fault.TooLarge, "the conversation's entities would exceed %d bytes", entitiesMax)
	}
	if step.VariablesSize(s.Variables)+step.VariablesSize(d.Event.Data.Variables) > step.VariablesMax {
		return fault.New(fault.TooLarge, "the conversation's variables would exceed %d bytes", step.VariablesMax)
	}
	if size(d.Event.Data.User) > userMax {
		return fault.New(fault.TooLarge, "what is said of the user exceeds %d bytes", userMax)
	}
	if d.Plan != nil && len(d.Plan.Requires) > 0 && size(withoutEntities(d)) > waitingMax {
		return fault.New(fault.TooLarge, "an event whose step may wait takes at most %d bytes besides its entities", waitingMax)
	}
	return nil
}

// entitiesWith is the size of a conversation's entities once an event's have replaced those of the same names.
func entitiesWith(kept, brought map[string][]schemas.Entity) int {
	total := 0
	//workflowcheck:ignore a sum does not depend on the order
	for name, detections := range kept {
		if _, replaced := brought[name]; !replaced {
			total += len(name) + detectionsSize(detections)
		}
	}
	//workflowcheck:ignore a sum does not depend on the order
	for name, detections := range brought {
		total += len(name) + detectionsSize(detections)
	}
	return total
}

func detectionsSize(detections []schemas.Entity) int {
	total := 0
	for _, e := range detections {
		total += len(e.Detection) + len(e.OriginalText) + len(e.EntityValue)
	}
	return total
}

// withoutEntities is a delivery as it waits: what it brought is in the conversation's state.
func withoutEntities(d step.Delivery) step.Delivery {
	d.Event.Data.Entities, d.Event.Data.User = nil, nil
	return d
}

// size is how long a value is as JSON; what cannot be written is as long as can be.
func size(value any) int {
	data, err := schemas.Marshal(value)
	if err != nil {
		return 1 << 30
	}
	return len(data)
}

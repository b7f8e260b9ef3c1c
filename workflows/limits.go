package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// What a conversation keeps travels in the input of its next run, which Temporal takes up to 2 MiB. The parts below and
// the conversation_details of the dialects together stay under half of that. All in bytes of JSON as it is encoded.
const (
	// entitiesMax bounds the entities of one conversation.
	entitiesMax = 512 << 10
	// userMax bounds what an engine sends about its user.
	userMax = 16 << 10
	// paramsMax bounds the params that a conversation keeps from its events.
	paramsMax = 64 << 10
	// waitingMax bounds a delivery that may wait for entities, without the entities it brings.
	waitingMax = 256 << 10
	// seenMax and seenBytesMax bound the ids by which a conversation recognises its events. A redelivery comes within minutes
	// and from the few events that were in flight.
	seenMax      = 512
	seenBytesMax = 64 << 10
	// userTextMax bounds what is kept of the text that the user read when a step failed: the state has it for up to twice
	// recentMax steps. In bytes of the text.
	userTextMax = 1000
	// reasonMax bounds what a result and conversation.closed have of the reason of conversation.ended: around it, they are
	// larger than the event was. In bytes of the text.
	reasonMax = 1 << 10
)

// A run's history may have 50 MiB, of which one event takes up to four times its size: as an Update, as an activity's
// input, as its result and as a reply. All in bytes.
const (
	// runBytesDue is the size of events after which a run continues as new as soon as it is idle.
	runBytesDue = 2 << 20
	// runBytesMax is the size of events, or of history, after which a run takes none before it has continued as new.
	runBytesMax = 4 << 20
	// callbackBytesMax is the size of history from which on a run takes no callback.
	callbackBytesMax = 32 << 20
	// callbacksFailedMax is how many callbacks of a step may be unreadable before it takes none.
	callbacksFailedMax = 10
	// inFlightMax is the size of the events that a run takes before it has answered them.
	inFlightMax = 4 << 20
	// unansweredMax is the number of events that a run takes before it has answered them. The server accepts 10 unfinished
	// Updates of a run (history.maxInFlightUpdates), and the callback of the step in hand is one of them.
	unansweredMax = 9
	// runsOver is by how much a run may exceed its number of events while it is not idle.
	runsOver = 2
)

// load is what a run has taken: the server keeps all of it in the run's history.
type load struct {
	events     int
	bytes      int // of all events
	unanswered int // number of those that are not answered yet
	inFlight   int // bytes of those
}

func (l *load) begin(size int) {
	l.events++
	l.bytes += size
	l.unanswered++
	l.inFlight += size
}

func (l *load) end(size int) {
	l.unanswered--
	l.inFlight -= size
}

// due reports whether the run is to continue as new once it is idle.
func (c *conversation) due(ctx workflow.Context) bool {
	if most := c.state.EventsPerRun; most > 0 && c.load.events >= most || c.load.bytes >= runBytesDue {
		return true
	}
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

// full reports whether the run must continue as new before it takes an event of a size. Rejecting the event makes the
// run idle, so that it can. Nothing is rejected by an idle run: it would never change.
func (c *conversation) full(ctx workflow.Context, size int) bool {
	switch most := c.state.EventsPerRun; {
	case c.idle():
		return false
	case most > 0 && c.load.events >= runsOver*most, c.load.bytes >= runBytesMax:
		return true
	case c.load.inFlight > 0 && c.load.inFlight+size > inFlightMax:
		return true
	}
	return workflow.GetInfo(ctx).GetCurrentHistorySize() >= runBytesMax
}

// tooLarge returns why an event cannot be taken into the conversation's state, nil when it can.
func tooLarge(s step.State, d step.Delivery) *fault.Fault {
	if len(d.Event.Data.Entities) > 0 && entitiesWith(s.Entities, d.Event.Data.Entities) > entitiesMax {
		return fault.New(fault.TooLarge, "the conversation's entities would exceed %d bytes", entitiesMax)
	}
	if step.VariablesSize(s.Variables)+step.VariablesSize(d.Event.Data.Variables) > step.VariablesMax {
		return fault.New(fault.TooLarge, "the conversation's variables would exceed %d bytes", step.VariablesMax)
	}
	if size(d.Event.Data.User) > userMax {
		return fault.New(fault.TooLarge, "data.user exceeds %d bytes", userMax)
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
			total += entitySize(name, detections)
		}
	}
	//workflowcheck:ignore a sum does not depend on the order
	for name, detections := range brought {
		total += entitySize(name, detections)
	}
	return total
}

// entitySize is the size of one member of the entities.
func entitySize(name string, detections []schemas.Entity) int {
	total := schemas.EncodedLen(name) + len(`:[],`)
	for _, e := range detections {
		total += len(`{"detection":,"original_text":,"entity_value":},`) +
			schemas.EncodedLen(e.Detection) + schemas.EncodedLen(e.OriginalText) + len(e.EntityValue)
	}
	return total
}

// withoutEntities is a delivery as it waits: what it brought is in the conversation's state.
func withoutEntities(d step.Delivery) step.Delivery {
	d.Event.Data.Entities, d.Event.Data.User = nil, nil
	return d
}

// cut returns the beginning of a text in whole characters, at most a number of bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// size is how long a value is as JSON; what cannot be encoded has no limit that fits it.
func size(value any) int {
	data, err := schemas.Marshal(value)
	if err != nil {
		return 1 << 30
	}
	return len(data)
}

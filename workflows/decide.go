package workflows

import (
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// action is what one event makes a conversation do, in the order of its members.
type action struct {
	cancel  *refusal       // answer the step that was waiting
	refuse  *refusal       // answer this event without running anything
	missing []string       // tell the engine which entities the waiting step lacks
	wait    *step.Delivery // keep this step until its entities are there
	run     *step.Delivery // run this step
	end     string         // close the conversation, for this reason
}

// refusal answers a delivery as rejected.
type refusal struct {
	delivery step.Delivery
	fault    *fault.Fault
}

// decide is the whole policy of a conversation: what an event does, given the state in which its entities were already
// noted. It is pure, so that every case is a row in a table of tests.
func decide(s step.State, d step.Delivery, now time.Time) action {
	if expired(d, now) {
		return action{refuse: &refusal{d, late()}}
	}
	switch d.Event.Type {
	case schemas.TypeStepRequested:
		return decideStep(s, d)
	case schemas.TypeEntitiesCollected:
		if d.Refused != nil {
			return action{refuse: &refusal{d, d.Refused}}
		}
		return decideEntities(s, now)
	case schemas.TypeConversationEnded:
		return decideEnd(s, d)
	default:
		return decideDelivery(s, d)
	}
}

func decideStep(s step.State, d step.Delivery) action {
	var a action
	if s.Waiting != nil {
		a.cancel = &refusal{*s.Waiting, fault.New(fault.Cancelled, "the next step was requested first")}
	}
	switch {
	case d.Refused != nil || d.Plan == nil:
		a.refuse = &refusal{d, refusedOr(d, fault.New(fault.Internal, "the event came without a plan"))}
	default:
		if a.missing = missing(d.Plan.Requires, s.Entities); len(a.missing) > 0 {
			a.wait = &d
		} else {
			a.run = &d
		}
	}
	return a
}

// decideDelivery sends a message or an event on to an adapter: the one that the event names, else the one that the chat was
// handed over to, else the bot's own. A step that waits for entities goes on waiting: a message is not the next step.
func decideDelivery(s step.State, d step.Delivery) action {
	if plan, ok := d.Adapters[s.HandedTo]; ok && d.Event.Type != schemas.TypeConversationHandover {
		d.Plan, d.Refused = &plan, nil
	}
	d.Adapters = nil
	if d.Refused != nil || d.Plan == nil {
		unserved := fault.New(fault.Config, "%s cannot be served by this bot", d.Event.Type)
		return action{refuse: &refusal{d, refusedOr(d, unserved)}}
	}
	return action{run: &d}
}

func decideEntities(s step.State, now time.Time) action {
	if s.Waiting == nil {
		return action{}
	}
	if expired(*s.Waiting, now) {
		return action{cancel: &refusal{*s.Waiting, late()}}
	}
	if m := missing(s.Waiting.Plan.Requires, s.Entities); len(m) > 0 {
		return action{missing: m, wait: s.Waiting}
	}
	return action{run: s.Waiting}
}

func decideEnd(s step.State, d step.Delivery) action {
	a := action{end: d.Event.Data.Reason}
	if a.end == "" {
		a.end = schemas.ClosedCompleted
	}
	if s.Waiting != nil {
		a.cancel = &refusal{*s.Waiting, fault.New(fault.Expired, "the conversation ended first")}
	}
	return a
}

// missing lists the mandatory entities without any detection, in the bot file's order.
func missing(requires []string, entities map[string][]schemas.Entity) []string {
	var names []string
	for _, name := range requires {
		if len(entities[name]) == 0 {
			names = append(names, name)
		}
	}
	return names
}

func expired(d step.Delivery, now time.Time) bool {
	return d.UsefulUntil != nil && now.After(*d.UsefulUntil)
}

func late() *fault.Fault {
	return fault.New(fault.Expired, "the event was handled after its latest useful moment")
}

func refusedOr(d step.Delivery, otherwise *fault.Fault) *fault.Fault {
	if d.Refused != nil {
		return d.Refused
	}
	return otherwise
}

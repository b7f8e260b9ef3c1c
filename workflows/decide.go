package workflows

import (
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// action is what one event makes a conversation do, in the order of its members.
type action struct {
	cancel  *rejection     // answer the step that was waiting
	reject  *rejection     // answer this event without running anything
	missing []string       // publish which entities the waiting step lacks
	wait    *step.Delivery // keep this step until its entities are there
	run     *step.Delivery // run this step
	end     string         // close the conversation, for this reason
}

// rejection answers a delivery as rejected.
type rejection struct {
	delivery step.Delivery
	fault    *fault.Fault
}

// decide is the whole policy of a conversation: what an event does, given the state in which its entities were already
// noted. It is pure, so that every case is a row in a table of tests.
func decide(s step.State, d step.Delivery, now time.Time) action {
	if expired(d, now) {
		return action{reject: &rejection{d, late()}}
	}
	switch d.Event.Type {
	case schemas.TypeStepRequested:
		return decideStep(s, d)
	case schemas.TypeEntitiesCollected:
		if d.Refused != nil {
			return action{reject: &rejection{d, d.Refused}}
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
		a.cancel = &rejection{*s.Waiting, fault.New(fault.Cancelled, "the next step was requested first")}
	}
	switch {
	case d.Refused != nil || d.Plan == nil:
		a.reject = &rejection{d, refusedOr(d, fault.New(fault.Internal, "the event came without a plan"))}
	default:
		if a.missing = missing(s, d.Plan.Requires); len(a.missing) > 0 {
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
		return action{reject: &rejection{d, refusedOr(d, unserved)}}
	}
	return action{run: &d}
}

func decideEntities(s step.State, now time.Time) action {
	if s.Waiting == nil {
		return action{}
	}
	if expired(*s.Waiting, now) {
		return action{cancel: &rejection{*s.Waiting, late()}}
	}
	if m := missing(s, s.Waiting.Plan.Requires); len(m) > 0 {
		return action{missing: m, wait: s.Waiting}
	}
	return action{run: s.Waiting}
}

func decideEnd(s step.State, d step.Delivery) action {
	a := action{end: cut(d.Event.Data.Reason, reasonMax)}
	if a.end == "" {
		a.end = schemas.ClosedCompleted
	}
	if s.Waiting != nil {
		a.cancel = &rejection{*s.Waiting, fault.New(fault.Expired, "the conversation ended first")}
	}
	return a
}

// missing lists the mandatory entities that were not collected, in the bot file's order.
func missing(s step.State, requires []string) []string {
	var names []string
	for _, name := range requires {
		if !collected(s.Entities[name]) && (s.Format != step.FormatLingering || len(s.Entities[name]) == 0) {
			names = append(names, name)
		}
	}
	return names
}

// collected reports whether an entity has a detection with a value: null means that there was nothing to detect.
func collected(detections []schemas.Entity) bool {
	return slices.ContainsFunc(detections, func(e schemas.Entity) bool {
		return len(e.EntityValue) > 0 && string(e.EntityValue) != "null"
	})
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

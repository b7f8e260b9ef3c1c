package intake

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// remains is what a run has left unanswered, read from its history.
type remains struct {
	deliveries []step.Delivery // in the order in which they were accepted
	request    *step.Request   // of a Step run; nil for a conversation
	input      step.State      // of a conversation's run
}

// state is the state of the run that answers what is left: nothing of the old one's but its identity.
func (r remains) state() step.State {
	return newState(r.input.ConversationKey, r.input.IdleTimeout)
}

// owner is the bot of the run.
func (r remains) owner() schemas.BotID {
	if r.request != nil {
		return r.request.BotID
	}
	return r.input.BotID
}

// readRemains reads a whole history.
func readRemains(events client.HistoryEventIterator, payloads converter.DataConverter) (remains, error) {
	r := reading{converter: payloads, accepted: map[string]step.Delivery{}}
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return remains{}, fmt.Errorf("read the history: %w", err)
		}
		if err := r.event(e); err != nil {
			return remains{}, fmt.Errorf("event %d of the history: %w", e.GetEventId(), err)
		}
	}
	return r.remains(), nil
}

// reading collects the Updates of a history.
type reading struct {
	converter converter.DataConverter
	left      remains
	accepted  map[string]step.Delivery // by update id
	order     []string
	waiting   *step.Delivery // the step that waits for entities
}

func (r *reading) event(e *historypb.HistoryEvent) error {
	switch {
	case e.GetWorkflowExecutionStartedEventAttributes() != nil:
		return r.started(e.GetWorkflowExecutionStartedEventAttributes())
	case e.GetWorkflowExecutionUpdateAdmittedEventAttributes() != nil:
		return r.take(e.GetWorkflowExecutionUpdateAdmittedEventAttributes().GetRequest())
	case e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil:
		return r.take(e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest())
	case e.GetWorkflowExecutionUpdateCompletedEventAttributes() != nil:
		done := e.GetWorkflowExecutionUpdateCompletedEventAttributes()
		return r.complete(done.GetMeta().GetUpdateId(), done.GetOutcome())
	}
	return nil
}

func (r *reading) started(a *historypb.WorkflowExecutionStartedEventAttributes) error {
	if a.GetWorkflowType().GetName() == step.WorkflowStep {
		var request step.Request
		if err := r.decode(a.GetInput(), &request); err != nil {
			return err
		}
		if request.Script == nil { // a script belongs to a request over HTTP, which has ended
			request.Delivery = notTwice(request.Delivery)
			r.left.request, r.left.deliveries = &request, []step.Delivery{request.Delivery}
		}
		return nil
	}
	err := r.decode(a.GetInput(), &r.left.input)
	r.waiting = r.left.input.Waiting
	return err
}

func (r *reading) take(request *updatepb.Request) error {
	name, id := request.GetInput().GetName(), request.GetMeta().GetUpdateId()
	if name == "" || name == step.UpdateCallback {
		return nil
	}
	var d step.Delivery
	if err := r.decode(request.GetInput().GetArgs(), &d); err != nil {
		return err
	}
	if _, known := r.accepted[id]; !known {
		r.order = append(r.order, id)
	}
	r.accepted[id] = d
	return nil
}

func (r *reading) complete(id string, outcome *updatepb.Outcome) error {
	d, ours := r.accepted[id]
	if !ours {
		return nil
	}
	delete(r.accepted, id)
	var result step.Result
	if err := r.decode(outcome.GetSuccess(), &result); err != nil {
		return err
	}
	switch {
	case len(result.Waiting) == 0 && (result.Outcome != "" || result.Closed != "") && waitEnds(d.Event.Type):
		r.waiting = nil
	case len(result.Waiting) > 0 && d.Event.Type == schemas.TypeStepRequested:
		r.waiting = &d
	}
	return nil
}

// waitEnds reports whether the outcome of an event of a type is also that of the step that waited.
func waitEnds(eventType string) bool {
	switch eventType {
	case schemas.TypeStepRequested, schemas.TypeEntitiesCollected, schemas.TypeConversationEnded:
		return true
	}
	return false
}

func (r *reading) remains() remains {
	if r.waiting != nil {
		r.left.deliveries = append(r.left.deliveries, unanswered(*r.waiting))
	}
	inHand := true // the first that is open; those behind it had not begun
	for _, id := range r.order {
		if d, open := r.accepted[id]; open {
			if inHand {
				d = notTwice(d)
			}
			inHand = false
			r.left.deliveries = append(r.left.deliveries, d)
			r.left.input.IdleTimeout = max(r.left.input.IdleTimeout, d.IdleTimeout, bot.Duration(0))
		}
	}
	return r.left
}

// notTwice rejects a step whose script may have begun: it may have called out, so it does not run again. A webhook is called
// again with the same webhook-id.
func notTwice(d step.Delivery) step.Delivery {
	if d.Plan != nil && d.Plan.Code != nil {
		d.Refused = fault.New(fault.OutcomeUnknown,
			"the step's run ended while its script may have run: check whether it had its effect")
	}
	return d
}

// decode reads the only payload, when there is one.
func (r *reading) decode(payloads *commonpb.Payloads, into any) error {
	if len(payloads.GetPayloads()) == 0 {
		return nil
	}
	return r.converter.FromPayloads(payloads, into)
}

package recovery

import (
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// remains is what a run has left unanswered, read from its history.
type remains struct {
	deliveries []step.Delivery // in the order in which they were accepted
	request    *step.Request   // of a Step run; nil for a conversation
	input      step.State      // of a conversation's run
	begun      string          // the event whose step may have begun, "" when none may
	unreadable error           // why a part of the history cannot be decoded
	handedOver bool            // whether a run was given one of the deliveries
}

// belongTo reports whether the history is that of a run of ours: a program in the same namespace may have workflows of these
// names. What cannot be decoded is not known to be another's.
func (r remains) belongTo(workflow string) bool {
	switch {
	case r.unreadable != nil:
		return true
	case r.request != nil:
		return workflow == step.ID(r.request.ConversationKey, r.request.Delivery.Event.ID)
	}
	return len(r.deliveries) == 0 || workflow == step.ConversationID(r.input.ConversationKey)
}

// readHistory reads a whole history. What cannot be decoded is in its remains.
func readHistory(events client.HistoryEventIterator, payloads converter.DataConverter) (*reading, error) {
	r := &reading{converter: payloads, accepted: map[string]step.Delivery{}, admitted: map[string]bool{}}
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		if err := r.event(e); err != nil && r.left.unreadable == nil {
			r.left.unreadable = fmt.Errorf("event %d of the history: %w", e.GetEventId(), err)
		}
	}
	return r, nil
}

// reading collects the Updates of a history.
type reading struct {
	converter converter.DataConverter
	left      remains
	accepted  map[string]step.Delivery // by update id
	order     []string
	admitted  map[string]bool // by update id: those that a reset has applied again, and that are not accepted yet
	waiting   *step.Delivery  // the step that waits for entities
	continues string          // the run that this one continues, "" for none
	latest    time.Time       // of its events
}

func (r *reading) event(e *historypb.HistoryEvent) error {
	r.latest = e.GetEventTime().AsTime()
	switch {
	case e.GetWorkflowExecutionStartedEventAttributes() != nil:
		return r.started(e.GetWorkflowExecutionStartedEventAttributes())
	case e.GetWorkflowExecutionUpdateAdmittedEventAttributes() != nil:
		request := e.GetWorkflowExecutionUpdateAdmittedEventAttributes().GetRequest()
		r.admitted[request.GetMeta().GetUpdateId()] = true
		return r.take(request)
	case e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil:
		a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes()
		delete(r.admitted, a.GetProtocolInstanceId()) // the id of the Update; such an event does not have the request again
		return r.take(a.GetAcceptedRequest())
	case e.GetWorkflowExecutionUpdateCompletedEventAttributes() != nil:
		done := e.GetWorkflowExecutionUpdateCompletedEventAttributes()
		return r.complete(done.GetMeta().GetUpdateId(), done.GetOutcome())
	}
	return nil
}

func (r *reading) started(a *historypb.WorkflowExecutionStartedEventAttributes) error {
	if a.GetWorkflowType().GetName() == step.WorkflowStep {
		var request step.Request
		err := r.decode(a.GetInput(), &request)
		if err == nil && request.Script != nil { // a script belongs to a request over HTTP, which has ended
			return nil
		}
		if err != nil {
			id := a.GetWorkflowId()
			request.Delivery = unreadable(id[strings.LastIndexByte(id, '/')+1:], schemas.TypeStepRequested)
		}
		request.Delivery = dispatch.NotTwice(request.Delivery)
		r.left.request, r.left.deliveries = &request, []step.Delivery{request.Delivery}
		return err
	}
	r.continues = a.GetContinuedExecutionRunId()
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
	err := r.decode(request.GetInput().GetArgs(), &d)
	if err != nil {
		d = unreadable(id, step.EventType(name))
	}
	if _, known := r.accepted[id]; !known {
		r.order = append(r.order, id)
	}
	r.accepted[id] = d
	return err
}

// unreadable is the delivery of an event of which only id and type can be read: its payload is encrypted under a key that
// this process does not have.
func unreadable(eventID, eventType string) step.Delivery {
	return step.Delivery{
		Event: schemas.Event{ID: eventID, Type: eventType},
		Refused: fault.New(fault.Internal, "the run of the conversation ended early, and its history cannot be decoded: "+
			"request the step again"),
	}
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
	case r.endsWait(d, result):
		r.waiting = nil
	case len(result.Waiting) > 0 && d.Event.Type == schemas.TypeStepRequested:
		r.waiting = &d
	}
	return nil
}

// endsWait reports whether the result of an event is also the end of the step that waited for entities. An event that was
// rejected itself, after its latest useful moment or for entities that are too large, leaves the step waiting: the reply is
// then its own. Only a step that is requested in time cancels the one that waits, also when it cannot be served.
func (r *reading) endsWait(d step.Delivery, result step.Result) bool {
	switch d.Event.Type {
	case schemas.TypeStepRequested, schemas.TypeEntitiesCollected, schemas.TypeConversationEnded:
	default:
		return false
	}
	if len(result.Waiting) > 0 || result.Outcome == "" && result.Closed == "" {
		return false
	}
	own := step.Address{ConversationKey: r.left.input.ConversationKey, Event: d.Event}.ReplyID(schemas.TypeStepReplied)
	if result.Outcome != schemas.OutcomeRejected || result.Closed != "" || result.ReplyID != own {
		return true
	}
	return d.Event.Type == schemas.TypeStepRequested && result.Error != string(fault.Expired)
}

func (r *reading) remains() remains {
	if r.waiting != nil {
		r.left.deliveries = append(r.left.deliveries, unanswered(*r.waiting))
	}
	for _, id := range r.order {
		if d, open := r.accepted[id]; open {
			if r.left.begun == "" { // the first that is open; those behind it had not begun
				r.left.begun, d = d.Event.ID, dispatch.NotTwice(d)
			}
			r.left.deliveries = append(r.left.deliveries, d)
			r.left.input.IdleTimeout = max(r.left.input.IdleTimeout, d.IdleTimeout, bot.Duration(0))
		}
	}
	return r.left
}

// unanswered is the delivery of a step that waited for entities when its run ended: they are gone with the run.
func unanswered(d step.Delivery) step.Delivery {
	d.Refused = fault.New(fault.Internal,
		"the run of the conversation ended while the step waited for entities: request it again")
	return d
}

// decode reads the only payload, when there is one.
func (r *reading) decode(payloads *commonpb.Payloads, into any) error {
	if len(payloads.GetPayloads()) == 0 {
		return nil
	}
	return r.converter.FromPayloads(payloads, into)
}

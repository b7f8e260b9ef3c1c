package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// handled is one event as the history of a run has it.
type handled struct {
	event  schemas.Event
	until  *time.Time // its latest useful moment
	at     time.Time  // when the run accepted it
	done   bool
	result step.Result
}

// Found is an event as a run accepted it.
type Found struct {
	Event       schemas.Event
	UsefulUntil *time.Time
}

// Event returns an event of a run; nil when the run does not have it, or is not kept any more.
func (i *Inspector) Event(ctx context.Context, of schemas.WorkflowRef, id string) (*Found, error) {
	if of.ID == "" || of.RunID == "" {
		return nil, nil
	}
	events, err := i.history(ctx, of)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.event.ID == id {
			return &Found{Event: e.event, UsefulUntil: e.until}, nil
		}
	}
	return nil, nil
}

// history returns the events of a run, in the order in which it accepted them; none when the server keeps it no longer.
func (i *Inspector) history(ctx context.Context, of schemas.WorkflowRef) ([]handled, error) {
	events := i.Temporal.GetWorkflowHistory(ctx, of.ID, of.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	r := i.reading()
	for events.HasNext() {
		e, err := events.Next()
		patience.Renew(ctx)
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil, nil
		}
		if err == nil {
			err = r.take(e)
		}
		if err != nil {
			return nil, fmt.Errorf("read the history of run %s of %s: %w", of.RunID, of.ID, err)
		}
	}
	return r.events, nil
}

func (i *Inspector) reading() reading {
	r := reading{byUpdate: map[string]int{}, payloads: i.Converter}
	if r.payloads == nil {
		r.payloads = step.DataConverter()
	}
	return r
}

// reading collects the events of a history.
type reading struct {
	events   []handled
	payloads converter.DataConverter
	byUpdate map[string]int // index of the event, by the id of its Update
}

func (r *reading) take(e *historypb.HistoryEvent) error {
	at := e.GetEventTime().AsTime()
	switch {
	case e.GetWorkflowExecutionStartedEventAttributes() != nil:
		started := e.GetWorkflowExecutionStartedEventAttributes()
		if started.GetWorkflowType().GetName() != step.WorkflowStep {
			return nil
		}
		var request step.Request
		if err := r.decode(started.GetInput(), &request); err != nil || request.Script != nil {
			return err
		}
		r.add("", handled{event: request.Delivery.Event, until: request.Delivery.UsefulUntil, at: at})
	case e.GetWorkflowExecutionUpdateAdmittedEventAttributes() != nil:
		return r.accept(e.GetWorkflowExecutionUpdateAdmittedEventAttributes().GetRequest(), at)
	case e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil:
		return r.accept(e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest(), at)
	case e.GetWorkflowExecutionUpdateCompletedEventAttributes() != nil:
		done := e.GetWorkflowExecutionUpdateCompletedEventAttributes()
		return r.complete(done.GetMeta().GetUpdateId(), done.GetOutcome().GetSuccess())
	case e.GetWorkflowExecutionCompletedEventAttributes() != nil:
		return r.complete("", e.GetWorkflowExecutionCompletedEventAttributes().GetResult())
	}
	return nil
}

func (r *reading) add(id string, h handled) {
	if _, known := r.byUpdate[id]; known {
		return
	}
	r.byUpdate[id] = len(r.events)
	r.events = append(r.events, h)
}

func (r *reading) accept(request *updatepb.Request, at time.Time) error {
	name := request.GetInput().GetName()
	if name == "" || name == step.UpdateCallback {
		return nil
	}
	var d step.Delivery
	if err := r.decode(request.GetInput().GetArgs(), &d); err != nil {
		return err
	}
	r.add(request.GetMeta().GetUpdateId(), handled{event: d.Event, until: d.UsefulUntil, at: at})
	return nil
}

func (r *reading) complete(id string, result *commonpb.Payloads) error {
	n, known := r.byUpdate[id]
	if !known {
		return nil
	}
	r.events[n].done = true
	return r.decode(result, &r.events[n].result)
}

// decode reads the only payload, when there is one.
func (r *reading) decode(payloads *commonpb.Payloads, into any) error {
	if len(payloads.GetPayloads()) == 0 {
		return nil
	}
	return r.payloads.FromPayloads(payloads, into)
}

// link returns the address of a run in the Temporal UI, "" without one.
func (i *Inspector) link(of schemas.WorkflowRef) string {
	if i.UI == "" {
		return ""
	}
	return strings.TrimSuffix(i.UI, "/") + "/namespaces/" + url.PathEscape(i.Namespace) + "/workflows/" +
		url.PathEscape(of.ID) + "/" + url.PathEscape(of.RunID) + "/history"
}

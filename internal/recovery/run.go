package recovery

import (
	"cmp"
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// recoverRun sees to what a run has left unanswered, in order: its events go to the open run of the conversation or to a new
// one, and those that no run may take are answered here.
func (r *Recovery) recoverRun(ctx context.Context, run *endedRun) error {
	history, err := r.history(ctx, run.workflow, run.run)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		r.Log.WarnContext(ctx, "run that ended early was deleted before its events were recovered", "workflow", run.workflow,
			"run_id", run.run)
		return nil
	}
	switch {
	case err != nil && run.overdue() && !dispatch.Passing(err):
		r.Log.ErrorContext(ctx, "run that ended early given up, its history cannot be read", "workflow", run.workflow, "run_id",
			run.run, "attempt", run.tries.Count, "error", err)
		return nil
	case err != nil:
		return err
	}
	left := history.remains()
	if !left.belongTo(run.workflow) {
		return nil
	}
	if left.unreadable != nil {
		if !run.overdue() {
			return left.unreadable
		}
		r.Log.ErrorContext(ctx, "history of a run that ended early cannot be decoded, its events given up", "workflow",
			run.workflow, "run_id", run.run, "events", len(left.deliveries), "error", left.unreadable,
			"hint", "check the directory of payload keys")
	}
	if len(left.deliveries) == 0 {
		return nil
	}
	next, err := r.successor(ctx, run, &left)
	if err != nil {
		return err
	}
	for _, d := range left.deliveries {
		if next.has(d) {
			continue
		}
		if err := r.recoverDelivery(ctx, run, &left, d, next); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recovery) history(ctx context.Context, workflow, run string) (*reading, error) {
	events := r.Temporal.GetWorkflowHistory(ctx, workflow, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	return readHistory(events, r.payloads())
}

// payloads returns the converter of histories.
func (r *Recovery) payloads() converter.DataConverter {
	if r.Converter == nil {
		return step.DataConverter()
	}
	return r.Converter
}

// recoverDelivery sees to one event. What fails for a fault of the event's own, or for too long, is given up.
func (r *Recovery) recoverDelivery(
	ctx context.Context, run *endedRun, left *remains, d step.Delivery, next successor,
) error {
	to := step.Address{ConversationKey: run.owner(left), Event: d.Event}
	if to.Conversation == "" {
		r.Log.ErrorContext(ctx, "event of a run that ended early cannot be answered, its conversation is not known", "workflow",
			run.workflow, "run_id", run.run, "event", d.Event.ID, "type", d.Event.Type)
		return nil
	}
	ctx = telemetry.WithTrace(ctx, telemetry.TraceID(d.Event.TraceID(to.BotID)))
	err := r.recoverTo(ctx, run, left, d, to, next)
	rejected, hopeless := errors.AsType[*dispatch.Rejection](err)
	switch {
	case errors.Is(err, dispatch.ErrDuplicate):
		return nil
	case !hopeless && err != nil && run.overdue() && !dispatch.Passing(err):
		rejected = dispatch.Rejectf(fault.Internal, "the event of a run that ended early could not be given to another run for "+
			"%s: see the starter's log", giveUpAfter)
	case !hopeless && err != nil:
		return err
	}
	if rejected != nil {
		return r.writeOff(ctx, run, d, to, rejected, err)
	}
	r.Log.WarnContext(ctx, "event of a run that ended early recovered", "workflow", run.workflow, "run_id", run.run, "event",
		d.Event.ID, "type", d.Event.Type, "status", run.status)
	r.Metrics.Recovered()
	return nil
}

// owner is the conversation of the run: by its input, else by its id and its search attribute.
func (e *endedRun) owner(left *remains) schemas.ConversationKey {
	key := left.input.ConversationKey
	if left.request != nil {
		key = left.request.ConversationKey
	}
	if !key.Valid() {
		return e.key
	}
	return key
}

// behind returns why an event is not given to the conversation's open run: a newer step waits there for entities. A step
// would cancel it, as the step that is requested next does; older entities would be taken for its own; an older end would
// close the conversation before it.
func behind(d step.Delivery, waiting *step.Delivery, begun string) *fault.Fault {
	if waiting == nil || !waiting.Since().After(d.Since()) {
		return nil
	}
	if d.Refused != nil {
		return d.Refused
	}
	switch d.Event.Type {
	case schemas.TypeStepRequested, schemas.TypeEntitiesCollected, schemas.TypeConversationEnded:
		if d.Event.ID == begun {
			return fault.New(fault.OutcomeUnknown, "the step's run ended early, and a newer step was requested before it was "+
				"recovered: check whether it had its effect")
		}
		return fault.New(fault.Cancelled, "the run ended before the event's turn, and the next step was requested first")
	}
	return nil
}

// recoverTo offers an event to a run, or answers it. One that was rejected needs nothing of a run, and would cancel a step
// that waits there; it is answered here unless an event before it went to a run, whose answer must come first. An answer
// that is so old that the stream would store a second one is looked for. One that may be in the open run is offered to it:
// the id of the Update is the same.
func (r *Recovery) recoverTo(
	ctx context.Context, run *endedRun, left *remains, d step.Delivery, to step.Address, next successor,
) error {
	reason := behind(d, next.waiting, left.begun)
	if d.Refused != nil && (!left.handedOver || left.unreadable != nil) {
		reason = d.Refused
	}
	if next.mayReject(d) {
		reason = nil
	}
	if reason != nil || time.Since(run.closed) > step.RepliesKnown {
		if answered, err := r.Answers.Find(ctx, to, answerID(to, reason != nil), run.begun); err != nil || answered != nil {
			return cmp.Or(err, dispatch.ErrDuplicate)
		}
	}
	if reason != nil {
		return r.Answers.Reject(ctx, to, reason)
	}
	left.handedOver = true
	if left.request != nil {
		_, err := r.Dispatcher.Start(ctx, *left.request, run.arrival())
		return err
	}
	_, err := r.Dispatcher.Offer(ctx, step.NewState(to.ConversationKey, left.input.IdleTimeout), d, run.arrival())
	return err
}

// answerID is the id of the reply that ends an event: of any type that is rejected, that of a step.
func answerID(to step.Address, rejected bool) string {
	if to.Event.Type == schemas.TypeConversationEnded && !rejected {
		return to.ReplyID(schemas.TypeConversationClosed)
	}
	return to.ReplyID(schemas.TypeStepReplied)
}

// writeOff makes a dead letter of an event that no run takes, and answers it. One that no message can hold is only answered:
// another try would not store it, and the events behind it would wait.
func (r *Recovery) writeOff(
	ctx context.Context, run *endedRun, d step.Delivery, to step.Address, rejected *dispatch.Rejection, cause error,
) error {
	var unstored error // the reason of a missing dead letter
	if r.Letters != nil {
		unstored = r.Letters.Write(ctx, to.ConversationKey, d.Event, rejected.Fault)
		if unstored != nil && fault.Of(unstored).Kind != fault.TooLarge {
			return unstored
		}
	}
	if err := r.Answers.Reject(ctx, to, rejected.Fault); err != nil {
		return err
	}
	r.Log.ErrorContext(ctx, "event of a run that ended early given up", "workflow", run.workflow, "run_id", run.run, "event",
		d.Event.ID, "type", d.Event.Type, "attempt", run.tries.Count, "kind", rejected.Fault.Kind,
		"error", errors.Join(cause, unstored))
	return nil
}

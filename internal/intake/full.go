package intake

import (
	"context"
	"errors"
	"time"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Full is the event reader's handler of events whose tenant holds too much of a stream that is nearly full. It answers them
// without their turn, so that there is room for the events of others: rejected, with the error code of a full stream, as
// POST /events rejects them. The answer may come before those to earlier events of the conversation that its run has in
// hand. An event that has no answer of its own becomes a dead letter.
func (i *Intake) Full(ctx context.Context, m *eventreader.Message) eventreader.Outcome {
	outcome := outcomeOf(i.full(ctx, m))
	result := outcome.Result()
	if outcome.Acked() {
		result = string(fault.QueueFull)
	}
	if !outcome.Retried() {
		i.tries.forget(m)
	}
	i.Metrics.Event(i.labels(m), result)
	i.logFull(ctx, m)
	return outcome
}

func (i *Intake) logFull(ctx context.Context, m *eventreader.Message) {
	tenant := i.labels(m).Tenant
	if events, due := i.fullLines.Due(tenant, time.Now()); due {
		i.Log.WarnContext(ctx, "event stream nearly full, answering events with queue_full; further ones are counted for a minute",
			"tenant", tenant, "events", events, "kind", string(fault.QueueFull),
			"hint", "see why events of the tenant wait: a paused bot, a slow endpoint, or an engine that publishes too much")
	}
}

func (i *Intake) full(ctx context.Context, m *eventreader.Message) error {
	rejected := dispatch.Rejectf(fault.QueueFull, "the event stream is nearly full and the tenant's events take most of it: "+
		"publish fewer at a time, and this one later, under another id")
	document, _ := schemas.Document(m.Header, m.Data) // what can be read of it is answered
	ctx, e, ok := i.envelope(ctx, m, document, hasAnswer)
	if !ok {
		return rejected
	}
	if err := i.answer(ctx, m, e, rejected); !errors.Is(err, rejected) {
		return err
	}
	return nil
}

// hasAnswer reports whether the end of an event is a step.replied of its own. A replayed event, and one that an operator
// repeats, is kept as a dead letter.
func hasAnswer(m *eventreader.Message, e schemas.Envelope) bool {
	switch e.Type {
	case schemas.TypeStepRequested, schemas.TypeMessageReceived, schemas.TypeConversationEvent,
		schemas.TypeConversationHandover:
		return !replayed(m) && e.RepeatOf == ""
	}
	return false
}

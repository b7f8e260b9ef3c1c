// Package intake checks one event, has it dispatched to the run of its conversation, and decides what becomes of the
// message: acknowledged, tried again, or a dead letter. It acknowledges only what Temporal has accepted durably, and what it
// makes a dead letter is answered wherever the event can be related to a conversation.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/loglimit"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// Intake hands events to their workflows. Fields whose comment does not name what nil means are required.
type Intake struct {
	Dispatcher *dispatch.Dispatcher
	Bots       Bots
	Answers    *answer.Answers
	Pauses     Pauses  // nil: no bot pauses
	Rollout    Rollout // nil: the bot files of this starter are the latest
	Recall     Recall  // nil: what is lost of the replies stays lost
	Log        *slog.Logger
	Metrics    *telemetry.Metrics // nil: nothing is counted
	Traces     *telemetry.Traces  // nil: no spans

	tries  tries
	behind tenantshare.Shares // bytes of events that wait for bot files

	fullLines, behindLines loglimit.Limiter[string] // by tenant
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Handle is the event reader's handler.
func (i *Intake) Handle(ctx context.Context, m *eventreader.Message) eventreader.Outcome {
	if outcome, held := i.hold(ctx, m); held {
		return outcome
	}
	err := i.handle(ctx, m)
	outcome := outcomeOf(err)
	if outcome.Held() {
		return outcome
	}
	result := outcome.Result()
	switch {
	case errors.Is(err, dispatch.ErrDuplicate):
		result = "duplicate"
	case err == nil:
		result = "accepted"
		i.Metrics.Accepted(m.BotID, time.Since(m.Received))
	}
	if outcome.Retried() {
		i.tries.failed(m, err, time.Now())
	} else {
		i.tries.forget(m)
	}
	i.Metrics.Event(i.labels(m), result)
	return outcome
}

// labels keeps names that are not configured out of the metrics: an engine may publish under any subject.
func (i *Intake) labels(m *eventreader.Message) schemas.BotID {
	if _, ok := i.Bots.Current().Bot(m.BotID); ok {
		return m.BotID
	}
	return schemas.BotID{Tenant: "_", Bot: "_"}
}

func (i *Intake) handle(ctx context.Context, m *eventreader.Message) error {
	document, err := schemas.Document(m.Header, m.Data)
	bots := i.Bots.Current()
	b, known := bots.Bot(m.BotID)
	if !known {
		return i.unknownBot(ctx, bots, m, document)
	}
	var event schemas.Event
	if event, err = decode(m, document, err); err != nil {
		return i.unserved(ctx, b, m, document, dispatch.Rejectf(fault.BadEvent, "%s", err))
	}
	if token := schemas.ConversationToken(event.Subject); token != m.Conversation {
		return dispatch.Rejectf(fault.BadEvent,
			"/subject: the event's conversation has the subject token %s, but the event was published under %s", token,
			m.Conversation)
	}
	if replayed(m) && event.Type == schemas.TypeStepRequested {
		event = event.Replay()
	}
	if event.TraceParent == "" {
		event.TraceParent, event.TraceState = m.Trace()
	}
	span := i.Traces.Event(m.BotID.WithConversation(event.Subject), &event, m.Received)
	ctx = i.traced(ctx, m, event)
	d := step.Delivery{
		Event: event, UsefulUntil: i.useful(event, m), IdleTimeout: bot.Duration(b.IdleTimeout()), Size: len(document),
	}
	if resolve(b, &d); ofUnknownName(d.Refused) {
		err = i.await(ctx, bots, m, d.UsefulUntil)
	}
	if err != nil {
		return err
	}
	if err := fits(d); err != nil {
		return i.unserved(ctx, b, m, document, err)
	}
	update := i.Traces.Update(span, step.UpdateName(event.Type))
	if err = i.deliver(ctx, b, m, d); err == nil {
		update.End("")
		span.End("")
	}
	if rejected, ok := errors.AsType[*dispatch.Rejection](err); ok {
		if err = i.answerDirectly(ctx, m, envelopeOf(event), rejected); errors.Is(err, rejected) {
			span.End(string(rejected.Fault.Kind))
		}
		return err
	}
	return err
}

// decode reads the event of a message; undocumented is why the message does not have a document.
func decode(m *eventreader.Message, document []byte, undocumented error) (schemas.Event, error) {
	if tooMany := m.CheckHeaders(); tooMany != nil {
		return schemas.Event{}, crowded(m, document, tooMany)
	}
	if undocumented != nil {
		return schemas.Event{}, undocumented
	}
	return schemas.DecodeEvent(document)
}

// unknownBot makes an event of a bot that this starter does not know wait, or rejects it.
func (i *Intake) unknownBot(ctx context.Context, bots *bot.Set, m *eventreader.Message, document []byte) error {
	if err := i.await(ctx, bots, m, usefulUntil(schemas.Event{}, m)); err != nil {
		return err
	}
	unknown := dispatch.Rejectf(fault.UnknownBot, "no bot file for bot %s of tenant %s%s", m.Bot, m.Tenant, bots.Hint(m.BotID))
	return i.unserved(ctx, nil, m, document, unknown)
}

// traced lets log lines about an event have its id and its trace.
func (i *Intake) traced(ctx context.Context, m *eventreader.Message, e schemas.Event) context.Context {
	m.EventID, m.TraceID = e.ID, e.TraceID(m.BotID)
	return telemetry.WithTrace(ctx, telemetry.TraceID(m.TraceID))
}

// resolve finds the step in the bot file as it is now: its plan travels with the event from here on.
func resolve(b *bot.Bot, d *step.Delivery) {
	switch d.Event.Type {
	case schemas.TypeStepRequested:
		plan, err := b.Plan(d.Event.Data.Step)
		if err != nil {
			d.Refused = fault.Of(err)
			return
		}
		d.Plan = &plan
	case schemas.TypeMessageReceived, schemas.TypeConversationEvent, schemas.TypeConversationHandover:
		resolveAdapter(b, d)
	}
}

// usefulUntil is the event's latest useful moment: the CloudEvents attribute expirytime, or the message's header;
// the earlier one when both are there.
func usefulUntil(e schemas.Event, m *eventreader.Message) *time.Time {
	until := e.ExpiryTime
	if !m.Expires.IsZero() && (until == nil || m.Expires.Before(*until)) {
		until = &m.Expires
	}
	return until
}

// answerTime is how long before its latest useful moment an event that waits here is answered: JetStream deletes one with a
// Nats-TTL at that moment.
const answerTime = time.Second

// answerBy returns when an event that waits here is to be answered because of its latest useful moment; nil: it does not
// have one.
func answerBy(useful *time.Time) *time.Time {
	if useful == nil {
		return nil
	}
	by := useful.Add(-answerTime)
	return &by
}

// lapsed reports whether a moment has passed at which an event is to be answered; nil: it does not have one.
func lapsed(by *time.Time) bool { return by != nil && !time.Now().Before(*by) }

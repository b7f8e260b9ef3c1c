// Package intake turns one event into an Update of its conversation, and says what becomes of the message: acknowledged,
// tried again, or a dead letter. It acknowledges nothing that Temporal has not accepted durably.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Intake hands events to their workflows. All fields but Metrics are required.
type Intake struct {
	Temporal client.Client
	Bots     Bots
	Queue    string // task queue of the workflows
	Log      *slog.Logger
	Metrics  *telemetry.Metrics

	runs runs
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Handle is the event reader's handler.
func (i *Intake) Handle(ctx context.Context, m *eventreader.Message) eventreader.Outcome {
	err := i.handle(ctx, m)
	outcome := outcomeOf(err)
	result := outcome.Result()
	switch {
	case errors.Is(err, errDuplicate):
		result = "duplicate"
	case err == nil:
		result = "accepted"
		i.Metrics.Accepted(m.BotID, time.Since(m.Received))
	}
	i.Metrics.Event(i.labels(m), result)
	return outcome
}

// labels keeps names that nobody configured out of the metrics: anybody may publish under any subject.
func (i *Intake) labels(m *eventreader.Message) schemas.BotID {
	if _, ok := i.Bots.Current().Bot(m.BotID); ok {
		return m.BotID
	}
	return schemas.BotID{Tenant: "_", Bot: "_"}
}

func (i *Intake) handle(ctx context.Context, m *eventreader.Message) error {
	event, err := schemas.DecodeEvent(m.Data)
	if err != nil {
		return reject(fault.BadEvent, err.Error())
	}
	if token := schemas.ConversationToken(event.Subject); token != m.Conversation {
		return reject(fault.BadEvent,
			"/subject: the conversation of the event has the subject token "+token+", but it was published under "+m.Conversation)
	}
	b, ok := i.Bots.Current().Bot(m.BotID)
	if !ok {
		return reject(fault.UnknownBot, "no bot file for bot "+m.Bot+" of tenant "+m.Tenant)
	}
	if event.TraceParent == "" {
		event.TraceParent, event.TraceState = m.Header.Get("traceparent"), m.Header.Get("tracestate")
	}
	d := step.Delivery{Event: event, UsefulUntil: usefulUntil(event, m), IdleTimeout: bot.Duration(b.IdleTimeout())}
	resolve(b, &d)
	if err := fits(m, d); err != nil {
		return err
	}
	if b.Ordering() == bot.OrderingNone {
		return i.startStep(ctx, b, d, m.Received)
	}
	return i.update(ctx, b, d, m.Received)
}

// resolve finds the step in the bot file as it is now: what it says travels with the event from here on.
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

// usefulUntil is the event's latest useful moment: the CloudEvents attribute expirytime, or what the message's header says;
// the earlier one when both are there.
func usefulUntil(e schemas.Event, m *eventreader.Message) *time.Time {
	until := e.ExpiryTime
	if !m.Expires.IsZero() && (until == nil || m.Expires.Before(*until)) {
		until = &m.Expires
	}
	return until
}

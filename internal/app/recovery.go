package app

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// lettersOfRuns writes the dead letters of events whose messages were acknowledged: their runs ended early.
type lettersOfRuns struct {
	letters *bus.DeadLetters
	metrics *telemetry.Metrics
}

// Write stores an event as the engine would publish it.
func (l lettersOfRuns) Write(ctx context.Context, of schemas.ConversationKey, e schemas.Event, reason *fault.Fault) error {
	data, err := e.Encode()
	if err != nil {
		return err
	}
	err = l.letters.Write(ctx, &bus.FailedEvent{
		BotID: of.BotID, Conversation: schemas.ConversationToken(of.Conversation),
		Subject: schemas.Subject(schemas.SubjectEvents, of), Data: data, Header: nats.Header{}, Deliveries: 1,
		ID: schemas.IDOf("dead", of, e.ID),
	}, reason)
	if err == nil {
		l.metrics.DeadLetter(string(reason.Kind))
	}
	return err
}

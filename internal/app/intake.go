package app

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/recall"
	"github.com/hookturn/hookturn/internal/recovery"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// newIntake returns the intake of a starter, and the recovery of the runs that end early. Both offer events by one
// dispatcher, which has a run recovered before it offers an event to the next one.
func newIntake(
	cfg Config, b *base, paused intake.Pauses, files *rollout.Files,
) (*intake.Intake, *recovery.Recovery) {
	answers := &answer.Answers{Replies: bus.NewReplies(b.streams), Log: cfg.Log}
	dispatcher := &dispatch.Dispatcher{
		Temporal: b.temporal, Namespace: b.namespace, Queue: step.QueueMain, Bots: b.bots, Answers: answers, Log: cfg.Log,
	}
	ended := &recovery.Recovery{
		Temporal: b.temporal, Namespace: b.namespace, Queue: step.QueueMain, Converter: cfg.payloads(), Dispatcher: dispatcher,
		Answers: answers, Mark: store.NewRecovered(b.streams, b.namespace),
		Letters: lettersOfRuns{bus.NewDeadLetters(b.js, b.streams), cfg.Metrics}, Log: cfg.Log, Metrics: cfg.Metrics,
	}
	dispatcher.Recovery = ended
	return &intake.Intake{
		Dispatcher: dispatcher, Bots: b.bots, Answers: answers, Pauses: paused, Rollout: files,
		Recall: recall.New(b.temporal, cfg.payloads(), cfg.Log), Log: cfg.Log, Metrics: cfg.Metrics, Traces: b.traces,
	}, ended
}

// lettersOfRuns writes the dead letters of events whose messages were acknowledged: their runs ended early.
type lettersOfRuns struct {
	letters *bus.DeadLetters
	metrics *telemetry.Metrics
}

// Write stores an event as the engine would publish it. One that no message can hold is a fault of the kind too_large: its
// encoding may be longer than that of the engine.
func (l lettersOfRuns) Write(ctx context.Context, of schemas.ConversationKey, e schemas.Event, reason *fault.Fault) error {
	data, err := e.Encode()
	if err != nil {
		return fault.Wrap(fault.TooLarge, err, "no dead letter can hold the event: %v", err)
	}
	err = l.letters.Write(ctx, &bus.FailedEvent{
		BotID: of.BotID, Conversation: schemas.ConversationToken(of.Conversation),
		Subject: schemas.Subject(schemas.SubjectEvents, of), Data: data, Header: nats.Header{}, Deliveries: 1,
		ID: schemas.IDOf("dead", of, e.ID),
	}, reason)
	switch {
	case err == nil:
		l.metrics.DeadLetter(string(reason.Kind))
	case natsclient.IsTooLarge(err):
		return fault.Wrap(fault.TooLarge, err, "no dead letter can hold the event: %v", err)
	}
	return err
}

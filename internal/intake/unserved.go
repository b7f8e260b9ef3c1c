package intake

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// answerTimeout bounds publishing the answer to an event that becomes a dead letter; the event is tried again after it.
const answerTimeout = 5 * time.Second

// unserved answers an event that becomes a dead letter, so that the user in the chat is not left without a reply
// (contract, section 9.1). A known bot's conversation answers it, in the order of its events; an unknown bot has none.
// The result is the rejection, or why the answer could not be given yet.
func (i *Intake) unserved(
	ctx context.Context, b *bot.Bot, m *eventreader.Message, document []byte, rejected *rejection,
) error {
	envelope, ok := schemas.DecodeEnvelope(document)
	if !ok || schemas.ConversationToken(envelope.Subject) != m.Conversation || !owed(m, envelope) {
		return rejected
	}
	if envelope.TraceParent == "" {
		envelope.TraceParent, envelope.TraceState = m.HeaderValue("traceparent"), m.HeaderValue("tracestate")
	}
	ctx = i.traced(ctx, m, schemas.Event{
		ID: envelope.ID, Subject: envelope.Subject, TraceParent: envelope.TraceParent,
	})
	if b == nil {
		return i.answerDirectly(ctx, m, envelope, rejected)
	}
	d := step.Delivery{
		Event: schemas.Event{
			SpecVersion: "1.0", ID: envelope.ID, Type: envelope.Type, Subject: envelope.Subject, Time: m.Received,
			TraceParent: envelope.TraceParent, TraceState: envelope.TraceState,
		},
		IdleTimeout: bot.Duration(b.IdleTimeout()), Refused: rejected.fault,
	}
	if err := i.deliver(ctx, b, m, d); outcomeOf(err).Result() != eventreader.Ack().Result() {
		return err
	}
	return rejected
}

// owed reports whether the engine is owed the answer to an event that becomes a dead letter. It has one of a replayed event,
// which was a dead letter before, and of a step that an operator repeats.
func owed(m *eventreader.Message, e schemas.Envelope) bool {
	return e.Type == schemas.TypeStepRequested && !replayed(m) && e.RepeatOf == ""
}

// replayed reports whether an event was published again from a dead letter.
func replayed(m *eventreader.Message) bool { return m.HeaderValue(schemas.HeaderReplayed) != "" }

// answerDirectly publishes the answer to an event that no conversation takes. The result is the rejection, or why it could
// not be published yet.
func (i *Intake) answerDirectly(ctx context.Context, m *eventreader.Message, e schemas.Envelope, rejected *rejection) error {
	if !owed(m, e) {
		return rejected
	}
	to := step.Address{ConversationKey: m.BotID.WithConversation(e.Subject), Event: schemas.Event{
		ID: e.ID, TraceParent: e.TraceParent, TraceState: e.TraceState,
	}}
	in, err := to.Reply(schemas.TypeStepReplied, time.Now(), schemas.StepReplied{
		EventID: e.ID, Outcome: schemas.OutcomeRejected, Error: step.ErrorOf(rejected.fault),
	})
	if err != nil {
		return rejected
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if i.replied(ctx, to, m.Received.Add(-repliesKept)) {
		return rejected
	}
	if _, err := i.Replies.PublishReply(ctx, m.BotID, in.Reply); fault.Of(err) != nil && fault.Of(err).Kind != fault.TooLarge {
		return err
	}
	i.Metrics.Step(i.labels(m), "", string(schemas.OutcomeRejected), "", time.Since(m.Received))
	return rejected
}

func envelopeOf(e schemas.Event) schemas.Envelope {
	return schemas.Envelope{
		ID: e.ID, Type: e.Type, Subject: e.Subject, TraceParent: e.TraceParent, TraceState: e.TraceState,
		RepeatOf: e.Repeats(),
	}
}

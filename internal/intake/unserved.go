package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// unserved answers an event that becomes a dead letter, so that the user in the chat is not left without a reply
// (contract, section 9.1). A known bot's conversation answers it, in the order of its events; an unknown bot has none.
// The result is the rejection, or why the answer could not be given yet; dispatch.ErrDuplicate when the event is a dead
// letter.
func (i *Intake) unserved(
	ctx context.Context, b *bot.Bot, m *eventreader.Message, document []byte, rejected *dispatch.Rejection,
) error {
	ctx, envelope, ok := i.envelope(ctx, m, document, owed)
	if !ok {
		return rejected
	}
	if i.isDeadLetter(ctx, m, envelope) {
		return dispatch.ErrDuplicate
	}
	if b == nil {
		return i.answerDirectly(ctx, m, envelope, rejected)
	}
	d := step.Delivery{
		Event: schemas.Event{
			SpecVersion: "1.0", ID: envelope.ID, Type: envelope.Type, Subject: envelope.Subject, Time: sentAt(envelope, m),
			TraceParent: envelope.TraceParent, TraceState: envelope.TraceState,
		},
		IdleTimeout: bot.Duration(b.IdleTimeout()), Refused: rejected.Fault,
	}
	err := i.deliver(ctx, b, m, d)
	if given, ok := errors.AsType[*dispatch.Rejection](err); ok { // its conversation cannot take it either
		return i.answerDirectly(ctx, m, envelope, given)
	}
	if !outcomeOf(err).Acked() {
		return err
	}
	return rejected
}

// crowded returns the error of an event that has more headers than it may have, and whether it can be answered: of those of
// an event in binary mode the reader keeps the ones that the answer needs.
func crowded(m *eventreader.Message, document []byte, tooMany error) error {
	if _, ok := schemas.DecodeEnvelope(document); !ok && schemas.IsBinary(m.Header) {
		return fmt.Errorf("%w; it is not answered, because ce-id, ce-type or ce-subject is missing, not valid, or there twice",
			tooMany)
	}
	return tooMany
}

// isDeadLetter reports whether an event that hookturn has published again became a dead letter before: the engine has the
// rejection. Of a message that was tried before, that may be the answer of the earlier try, whose dead letter may not be
// stored.
func (i *Intake) isDeadLetter(ctx context.Context, m *eventreader.Message, e schemas.Envelope) bool {
	if !marked(m) || m.Deliveries > 1 || m.TakenOver || m.Tried {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answer.Timeout)
	defer cancel()
	to := addressOf(m, e)
	r, err := i.Answers.Find(ctx, to, to.ReplyID(schemas.TypeStepReplied), firstStored(to.Event, m))
	if err != nil {
		i.Log.WarnContext(ctx, "looking for an earlier reply failed", "event", e.ID, "error", err)
	}
	var data schemas.StepReplied
	return r != nil && json.Unmarshal(r.Data, &data) == nil && data.Outcome == schemas.OutcomeRejected
}

// addressOf returns the address of the answer to an event that no conversation takes.
func addressOf(m *eventreader.Message, e schemas.Envelope) step.Address {
	return step.Address{ConversationKey: m.BotID.WithConversation(e.Subject), Event: schemas.Event{
		ID: e.ID, Time: e.Time, TraceParent: e.TraceParent, TraceState: e.TraceState,
	}}
}

// envelope reads what identifies an event that no conversation takes, with the context of its log lines; ok is false when it
// does not belong to the conversation under which it was published, or has no answer.
func (i *Intake) envelope(
	ctx context.Context, m *eventreader.Message, document []byte, answered func(*eventreader.Message, schemas.Envelope) bool,
) (traced context.Context, e schemas.Envelope, ok bool) {
	e, ok = schemas.DecodeEnvelope(document)
	if !ok || schemas.ConversationToken(e.Subject) != m.Conversation || !answered(m, e) {
		return ctx, e, false
	}
	if e.TraceParent == "" {
		e.TraceParent, e.TraceState = m.Trace()
	}
	return i.traced(ctx, m, schemas.Event{ID: e.ID, Subject: e.Subject, TraceParent: e.TraceParent}), e, true
}

// sentAt is the time of an event, by which it is recognised when it is published again; without one, when it was stored.
func sentAt(e schemas.Envelope, m *eventreader.Message) time.Time {
	if e.Time.IsZero() {
		return m.Received
	}
	return e.Time
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
func (i *Intake) answerDirectly(
	ctx context.Context, m *eventreader.Message, e schemas.Envelope, rejected *dispatch.Rejection,
) error {
	if !owed(m, e) {
		return rejected
	}
	return i.answer(ctx, m, e, rejected)
}

// answer publishes the answer to an event of a step or an adapter, unless the engine has one. The result is as that of
// answerDirectly.
func (i *Intake) answer(
	ctx context.Context, m *eventreader.Message, e schemas.Envelope, rejected *dispatch.Rejection,
) error {
	to := addressOf(m, e)
	ctx, cancel := context.WithTimeout(ctx, answer.Timeout)
	defer cancel()
	if since, may := mayBeAnswered(to.Event, m); may && i.Answers.Answered(ctx, to, since) {
		return rejected
	}
	if err := i.Answers.Reject(ctx, to, rejected.Fault); err != nil && fault.Of(err).Kind != fault.TooLarge {
		return err
	}
	i.Metrics.Step(i.labels(m), "", string(schemas.OutcomeRejected), "", time.Since(m.Received))
	return rejected
}

func envelopeOf(e schemas.Event) schemas.Envelope {
	return schemas.Envelope{
		ID: e.ID, Type: e.Type, Subject: e.Subject, Time: e.Time, TraceParent: e.TraceParent, TraceState: e.TraceState,
		RepeatOf: e.Repeats(),
	}
}

package intake

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Pauses knows which bots an operator has paused.
type Pauses interface {
	// Paused returns a context that ends with the pause of a bot, nil when the bot does not pause.
	Paused(bot schemas.BotID) context.Context
}

// hold keeps an event in JetStream while its bot pauses, at most until it is to be answered because of its latest useful
// moment, and publishes the text for the user who waits. It reports whether it did. A repeated try publishes the text under
// the same id.
func (i *Intake) hold(ctx context.Context, m *eventreader.Message) (o eventreader.Outcome, held bool) {
	over := i.paused(m.BotID)
	if over == nil {
		return o, false
	}
	e, readable := readEvent(m)
	by := answerBy(usefulUntil(e, m))
	if lapsed(by) {
		return o, false
	}
	if readable && e.Type == schemas.TypeStepRequested {
		if err := i.publishPaused(ctx, m, e); err != nil {
			return eventreader.Retry("publish_paused", err), true
		}
	}
	if by != nil {
		return eventreader.HoldUntil(over, *by, "bot_paused"), true
	}
	return eventreader.Hold(over, "bot_paused"), true
}

// paused returns a context that ends with the pause of a bot, nil when the bot does not pause.
func (i *Intake) paused(id schemas.BotID) context.Context {
	if i.Pauses == nil {
		return nil
	}
	return i.Pauses.Paused(id)
}

// useful returns the latest useful moment of an event for its conversation. That of an event whose bot pauses until then
// has passed, by every clock.
func (i *Intake) useful(e schemas.Event, m *eventreader.Message) *time.Time {
	until := usefulUntil(e, m)
	if lapsed(answerBy(until)) && i.paused(m.BotID) != nil {
		passed := time.Now().Add(-step.ClockSlack)
		return &passed
	}
	return until
}

// readEvent reads the event of a message; ok is false when it becomes a dead letter after the pause.
func readEvent(m *eventreader.Message) (e schemas.Event, ok bool) {
	document, err := schemas.Document(m.Header, m.Data)
	if err != nil {
		return e, false
	}
	e, err = schemas.DecodeEvent(document)
	if err != nil || schemas.ConversationToken(e.Subject) != m.Conversation {
		return schemas.Event{}, false
	}
	return e, true
}

func (i *Intake) publishPaused(ctx context.Context, m *eventreader.Message, e schemas.Event) error {
	b, known := i.Bots.Current().Bot(m.BotID)
	if !known || len(b.BotPaused()) == 0 {
		return nil
	}
	var user schemas.User
	if e.Data.User != nil {
		user = *e.Data.User
	}
	text := b.BotPaused().For(step.LanguageOf(user))
	to := step.Address{ConversationKey: m.BotID.WithConversation(e.Subject), Event: e}
	in, err := to.Reply(schemas.TypeStepProgress, time.Now(), schemas.StepProgress{
		EventID: e.ID, Step: e.Data.Step, Messages: []schemas.Message{schemas.Text(text)},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answer.Timeout)
	defer cancel()
	if i.read(ctx, to, m) {
		return nil
	}
	_, err = i.Answers.Publish(ctx, m.BotID, in.Reply)
	return err
}

// read reports whether the user has the text of the pause, or the end of the step, for so long that the stream would store
// the text again: the partition has moved to this starter, or the bot was paused when an acknowledgement was lost.
func (i *Intake) read(ctx context.Context, to step.Address, m *eventreader.Message) bool {
	since, may := mayBeAnswered(to.Event, m)
	if !may {
		return false
	}
	for _, replyType := range []string{schemas.TypeStepProgress, schemas.TypeStepReplied} {
		if stored, err := i.Answers.Find(ctx, to, to.ReplyID(replyType), since); err == nil && stored != nil {
			return true
		}
	}
	return false
}

package intake

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// An engine that does not know whether its event was stored publishes it again, with its id and its time. JetStream drops it
// for ten minutes, as long as it has its table of ids: a stream that was restored, or made again, has lost it, and one
// whose server was restarted knows only the ids of the messages that it still holds. Then the event is a new message that
// is delivered for the first time. Its time shows that it is not new, and whether it was taken before is looked up.

const (
	// publishedAgainAfter is how much older than its message an event must be. It is longer than the way of an event to the
	// stream. An engine whose clock is behind by more costs a look-up with each event.
	publishedAgainAfter = 5 * time.Second
	// repliesKept is how long the stream of replies keeps one. What is older is not recognised, and not looked for: an engine
	// that sets a constant time costs nothing.
	repliesKept = 72 * time.Hour
)

// publishedAgain reports whether an event may have been published, and taken, before.
func publishedAgain(e schemas.Event, m *eventreader.Message) bool {
	age := m.Received.Sub(e.Time)
	return age > publishedAgainAfter && age <= repliesKept
}

// replied reports whether the engine has the reply to an event. It recognises an event that came so long ago that its
// conversation has dropped its id. What cannot be read now is left to the conversation, which recognises the latest events.
func (i *Intake) replied(ctx context.Context, to step.Address, since time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	r, err := i.Replies.FindReply(ctx, to.ConversationKey, to.ReplyID(schemas.TypeStepReplied), since.Add(-step.ClockSlack))
	if err != nil {
		i.Log.WarnContext(ctx, "looking for an earlier reply failed", "event", to.Event.ID, "error", err)
	}
	return err == nil && r != nil
}

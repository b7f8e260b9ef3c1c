package intake

import (
	"time"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// An engine that does not know whether its event was stored publishes it again, with its id and its time. JetStream drops it
// for ten minutes, as long as it has its table of ids: a stream that was restored, or made again, has lost it, and one
// whose server was restarted knows only the ids of the messages that it still holds. Then the event is a new message that
// is delivered for the first time. Its time shows that it is not new, and whether it was taken before is looked up. So is it
// of an event that hookturn itself has published again, which has a header that marks it.

// publishedAgainAfter is how much older than its message an event must be. It is longer than the way of an event to the
// stream. An engine whose clock is behind by more costs a look-up with each event.
const publishedAgainAfter = 5 * time.Second

// markedFor is how long before an event with schemas.HeaderAgain a message of its id may have been stored: the duplicate
// window of the stream of events.
const markedFor = 10 * time.Minute

// publishedAgain reports whether an event may have been published, and taken, before.
func publishedAgain(e schemas.Event, m *eventreader.Message) bool {
	age := m.Received.Sub(e.Time)
	return marked(m) || age > publishedAgainAfter && age <= step.RepliesKept
}

// marked reports whether hookturn has published an event again.
func marked(m *eventreader.Message) bool { return m.HeaderValue(schemas.HeaderAgain) != "" }

// firstStored returns when an event that was published again may have been stored for the first time. The time of the event
// is that of the engine's clock.
func firstStored(e schemas.Event, m *eventreader.Message) time.Time {
	first := e.Time
	if before := m.Received.Add(-markedFor); marked(m) && first.After(before) {
		first = before
	}
	if kept := m.Received.Add(-step.RepliesKept); first.Before(kept) {
		return kept
	}
	return first
}

// mayBeAnswered reports whether the answer to an event may be stored for so long that the stream would store a second one,
// and since when. A new event costs no look-up: it would read what the engine has stored before.
func mayBeAnswered(e schemas.Event, m *eventreader.Message) (since time.Time, may bool) {
	if publishedAgain(e, m) {
		return firstStored(e, m), true
	}
	return m.Received, m.Deliveries > 1 || m.TakenOver || time.Since(m.Received) > step.RepliesKnown
}

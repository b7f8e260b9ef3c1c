package step

import (
	"time"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// RepliesKept is how long the stream of replies keeps one. An event that is older is not recognised by its reply, and the
	// reply is not looked for: an engine that sets a constant time costs nothing.
	RepliesKept = 72 * time.Hour
	// RepliesKnown is how long a reply that is published again is dropped by its id: a minute less than the 15 minutes of the
	// stream of replies, because the clocks of NATS and of the processes may differ.
	RepliesKnown = 15*time.Minute - ClockSlack
)

// MayBeStored reports whether a reply that cannot have been stored before a moment may be stored for so long that the stream
// would store another one under its id. So it is with a run that an operator resets, whose Updates the server applies again,
// and with a workflow task that is repeated after an outage of Temporal: nothing else shows that the event is not new.
func MayBeStored(since, now time.Time) bool {
	age := now.Sub(since)
	return age > RepliesKnown && age <= RepliesKept
}

// storedOr returns when an event was stored; its own time where that is not known.
func storedOr(stored time.Time, e schemas.Event) time.Time {
	if stored.IsZero() {
		return e.Time
	}
	return stored
}

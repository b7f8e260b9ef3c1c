package intake

import (
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/schemas"
)

// arrival is how an event came: as a new one, or as one that a run may have taken before.
type arrival struct {
	tries       tried     // of this process, without success
	stored      time.Time // when the event was, at the earliest; the zero time when that is not known
	again       bool      // the engine may have published the event before
	redelivered bool      // the event comes from another delivery or reader than an earlier one
	recovery    bool      // the event is handed over because its run ended early
	late        bool      // the event may have been answered before, and its replies may be lost with their stream since
	expired     bool      // the replies to the event may be deleted: they are kept for less time
}

// repeated reports whether a run may have taken the event: in an earlier try, or from another reader.
func (a arrival) repeated() bool { return a.tries.count > 0 || a.redelivered }

// arrivalOf returns how the event of a message came.
func (i *Intake) arrivalOf(b *bot.Bot, m *eventreader.Message, e schemas.Event) arrival {
	a := arrival{tries: i.tries.of(m), stored: m.Received, again: publishedAgain(e, m)}
	a.redelivered = m.Deliveries > 1 || m.TakenOver || a.again
	if a.again {
		a.stored = firstStored(e, m)
	}
	age := time.Since(a.stored)
	a.late, a.expired = a.redelivered || age > publishedAgainAfter, age > keptFor(b)
	return a
}

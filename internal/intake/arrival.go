package intake

import (
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/schemas"
)

// arrival is how an event came from the event reader.
type arrival struct {
	dispatch.Arrival

	again   bool // the engine may have published the event before
	late    bool // the event may have been answered before, and its replies may be lost with their stream since
	expired bool // the replies to the event may be deleted: they are kept for less time
}

// arrivalOf returns how the event of a message came.
func (i *Intake) arrivalOf(b *bot.Bot, m *eventreader.Message, e schemas.Event) arrival {
	a := arrival{again: publishedAgain(e, m)}
	a.Tries, a.Tried, a.Stored = i.tries.of(m), m.Tried, m.Received
	a.Redelivered = m.Deliveries > 1 || m.TakenOver || a.again
	if a.again {
		a.Stored = firstStored(e, m)
	}
	age := time.Since(a.Stored)
	a.late, a.expired = a.Redelivered || age > publishedAgainAfter, age > keptFor(b)
	return a
}

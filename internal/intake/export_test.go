package intake

import (
	"time"

	"github.com/hookturn/hookturn/internal/eventreader"
)

// SetTried makes an event one that was tried before, since a time.
func (i *Intake) SetTried(m *eventreader.Message, since time.Time) { i.tries.failed(m, nil, since) }

package intake

import "time"

// SetTried makes an event one that was tried before, since a time.
func (i *Intake) SetTried(sequence uint64, since time.Time) { i.tries.failed(sequence, since) }

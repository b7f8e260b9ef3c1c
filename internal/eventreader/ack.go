package eventreader

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/retry"
)

// ackStored acknowledges an event whose sequence may be that of another event by now: it was delivered before an
// interruption, or not at all. It is compared with the stream first. An event that JetStream did not deliver is deleted from
// the stream instead, which counts as its acknowledgement; one that is delivered meanwhile is acknowledged, too. When an
// acknowledgement is lost, JetStream delivers the event again and the handler recognizes it.
func (p *partition) ackStored(m *Message, o Outcome) {
	id := m.StoredID()
	stored := p.isStored(m)
	p.mu.Lock()
	d := p.acking[id]
	p.mu.Unlock()
	if stored && d == nil {
		p.deleteEvent(m)
	}
	p.mu.Lock()
	d = p.acking[id]
	delete(p.acking, id)
	if d == nil || !stored {
		p.mu.Unlock()
		return
	}
	p.acked = d.reply
	p.mu.Unlock()
	p.respond(d, o.acknowledgement())
}

// isStored reports whether the stream has an event. It asks until it has an answer that came without an interruption of the
// connection; it returns false when the partition is given up first, and the next reader handles the event again.
func (p *partition) isStored(m *Message) bool {
	wait := retry.Backoff(50*time.Millisecond, time.Second)
	for {
		before, _ := p.connection()
		_, found, changed, err := p.getEvent(p.lease.ctx, m.StoredID())
		after, connected := p.connection()
		switch {
		case changed:
			p.log.Warn("sequence of a handled event has another event, not acknowledging it: did NATS lose its last writes?",
				m.ids()...)
			return false
		case err == nil && !found: // acknowledged before, erased by an operator, or lost by the server
			return false
		case err == nil && connected && after == before:
			return true
		case err != nil:
			p.log.Debug("comparing a handled event with the stream failed, will retry", append(m.ids(), "error", err)...)
		}
		if !p.pause(wait.NextBackOff()) {
			return false
		}
	}
}

// deleteEvent deletes an event from the stream.
func (p *partition) deleteEvent(m *Message) {
	ctx, cancel := context.WithTimeout(p.lease.ctx, apiTimeout)
	defer cancel()
	if err := p.r.streams.Events().DeleteMsg(ctx, m.Sequence); err != nil {
		p.log.Debug("deleting a handled event failed, it is handled again", append(m.ids(), "error", err)...)
	}
}

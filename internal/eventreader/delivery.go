package eventreader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Acknowledgements of JetStream's protocol. They are published to the reply subject of a delivery, so that a delivery
// that waits is its reply subject alone and not its body.
const (
	protocolAck        = "+ACK"
	protocolTerm       = "+TERM"
	protocolNak        = "-NAK"
	protocolInProgress = "+WPI"
)

// delivery is an event that JetStream has delivered to this reader and that is not acknowledged.
type delivery struct {
	reply   string // subject of acknowledgements
	subject string // as stored
	tenant  string
	count   uint64    // how often JetStream has delivered it
	touched time.Time // when JetStream last received a sign of it
}

// respond publishes an acknowledgement. An error means that the connection is closed: JetStream delivers the event again.
func (p *partition) respond(d *delivery, response string) {
	_ = p.r.js.Conn().Publish(d.reply, []byte(response))
}

// flushAcks waits until JetStream has processed the acknowledgements of this partition. A flush of the connection is not
// sufficient: it is answered while they wait in the consumer's queue. The consumer processes them in order and replies to
// the one that has a reply subject: a progress report, which changes nothing about an acknowledged event.
func (p *partition) flushAcks(ctx context.Context) error {
	p.mu.Lock()
	acked := p.acked
	p.mu.Unlock()
	if acked == "" {
		return p.r.js.Conn().FlushWithContext(ctx)
	}
	_, err := p.r.js.Conn().RequestWithContext(ctx, acked, []byte(protocolInProgress))
	return err
}

// sendInProgress extends the AckWait of every pending event that was not touched for a while. It forgets events that are
// no longer waited for: they were removed from the stream by its limits or by an operator. If such an event exists all
// the same, JetStream delivers it again.
func (p *partition) sendInProgress(now time.Time) {
	var due []*delivery
	p.mu.Lock()
	for seq, d := range p.pending {
		switch {
		case !p.waits(seq, d):
			delete(p.pending, seq)
		case now.Sub(d.touched) >= p.r.options.AckWait/5:
			d.touched = now
			due = append(due, d)
		}
	}
	p.mu.Unlock()
	for _, d := range due {
		p.respond(d, protocolInProgress)
	}
}

// waits reports whether an event is queued or being handled. The caller holds mu.
func (p *partition) waits(seq uint64, d *delivery) bool {
	if q := p.queues[d.subject]; q != nil && q.has(seq) {
		return true
	}
	b := p.backlogs[d.tenant]
	return b != nil && b.parked && seq > b.read && seq <= b.upTo
}

// nakPending hands the events that were not handled back to JetStream, each after a short delay of its own.
func (p *partition) nakPending() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.pending {
		delay := 50*time.Millisecond + rand.N(200*time.Millisecond)
		p.respond(d, fmt.Sprintf(`%s {"delay": %d}`, protocolNak, delay.Nanoseconds()))
	}
}

package eventreader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Acknowledgements of JetStream's protocol. They are published to the reply subject of a delivery, so that a delivery
// that waits is its reply subject alone and not its body.
const (
	protocolAck        = "+ACK"
	protocolTerm       = "+TERM"
	protocolNak        = "-NAK"
	protocolInProgress = "+WPI"
)

// pinHeader is a header of each delivery of a pinned consumer. It cannot be read where those of the event cannot.
const pinHeader = "Nats-Pin-Id"

// delivery is an event that JetStream has delivered to this reader and that is not acknowledged.
type delivery struct {
	reply   string // subject of acknowledgements
	subject string // as stored
	tenant  string
	count   uint64    // how often JetStream has delivered it
	touched time.Time // when JetStream last received a sign of it

	// Where it came from, see trusted.
	pin        string // id of the consumer's pin; "" when it could not be read
	reconnects uint64 // of the connection before it
}

// newDelivery returns the delivery of a message that was received now.
func (p *partition) newDelivery(m jetstream.Msg, message *Message) *delivery {
	return &delivery{
		reply: m.Reply(), subject: message.stored, tenant: message.tenant, count: message.Deliveries, touched: time.Now(),
		pin: pinOf(m.Headers()), reconnects: p.r.js.Conn().Stats().Reconnects,
	}
}

// pinOf returns the id of the consumer's pin, "" without one. The server writes it behind the headers of the event.
func pinOf(header nats.Header) string {
	if values := header[pinHeader]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// trusted reports whether the sequence of a delivery is still that of its event. JetStream acknowledges by sequence alone,
// and a server that has lost its last writes gives the sequences of these events to new ones. Before that it was down: its
// connections were interrupted, and the consumer has a new pin, also when the server of the stream is not the one that this
// process is connected to. While there is no connection, acknowledgements would wait in the client for the next one. The
// caller holds mu.
func (p *partition) trusted(d *delivery) bool {
	reconnects, connected := p.connection()
	return connected && d.reconnects == reconnects && d.pin != "" && d.pin == p.pin
}

// connection returns how often the connection was established again, and whether it is established now.
func (p *partition) connection() (reconnects uint64, connected bool) {
	nc := p.r.js.Conn()
	connected = nc.IsConnected() // first: a connection that was established again after that is counted
	return nc.Stats().Reconnects, connected
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
	for id, d := range p.pending {
		switch {
		case !p.waits(id, d):
			delete(p.pending, id)
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
func (p *partition) waits(id StoredID, d *delivery) bool {
	if q := p.queues[d.subject]; q != nil && q.has(id) {
		return true
	}
	b := p.backlogs[d.tenant]
	return b != nil && b.parked && id.Sequence > b.read && id.Sequence <= b.upTo
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

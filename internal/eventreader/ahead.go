package eventreader

import (
	"errors"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/retry"
)

const (
	aheadPollFirst   = 5 * time.Millisecond
	aheadPollLongest = 50 * time.Millisecond
	// idlePoll is how often a partition without deliveries is compared with the stream.
	idlePoll = time.Second
)

// readStream reads events from the stream that JetStream does not deliver.
//
// JetStream delivers no new event while MaxAckPending events of the partition are unacknowledged. When conversations
// with a long backlog use all of them, the reader reads the stream itself, so that other conversations do not wait: it
// is then ahead of its consumer. Events that the consumer delivers later are already known. When the consumer has caught
// up, the reader uses its deliveries again.
//
// It also reads an event that is stored and was not delivered for two idlePolls, for whatever reason.
func (p *partition) readStream() {
	wait := idlePoll
	var undelivered uint64
	for p.pause(wait) {
		if p.isAhead() {
			wait = p.readAllAhead(wait)
			continue
		}
		wait = idlePoll
		seq := p.firstUndelivered()
		if seq != 0 && seq == undelivered {
			p.intake.Lock()
			p.ahead = true
			p.intake.Unlock()
			wait = aheadPollFirst
		}
		undelivered = seq
	}
}

// isAhead reports whether this reader reads the stream instead of its deliveries.
func (p *partition) isAhead() bool {
	p.intake.Lock()
	defer p.intake.Unlock()
	return p.ahead
}

// readAllAhead reads the events above high until there are none, and returns how long to wait before looking again.
func (p *partition) readAllAhead(waited time.Duration) time.Duration {
	wait := min(2*waited, aheadPollLongest)
	for !p.stopped() {
		// Deliveries are taken in between two events.
		p.intake.Lock()
		if !p.ahead {
			p.intake.Unlock()
			return idlePoll
		}
		found, err := p.readAhead(math.MaxUint64)
		p.intake.Unlock()
		if err != nil {
			p.log.Debug("reading ahead of the consumer failed, will retry", "error", err)
			return idlePoll
		}
		if !found {
			return max(wait, aheadPollFirst)
		}
		wait = aheadPollFirst
	}
	return wait
}

// firstUndelivered returns the sequence of the first stored event above high, 0 when there is none or reading fails.
func (p *partition) firstUndelivered() uint64 {
	p.intake.Lock()
	from := p.high + 1
	p.intake.Unlock()
	stored, err := p.nextStored(from)
	if err != nil {
		return 0
	}
	return stored.Sequence
}

// readParked puts parked events of a tenant into queues, in stream order, until there are none or the tenant has as many
// conversations in memory as it may have.
func (p *partition) readParked(tenant string, b *backlog) {
	wait := retry.Backoff(50*time.Millisecond, time.Second)
	for !p.stopped() {
		p.mu.Lock()
		if b.conversations >= p.r.options.MaxConversations || !b.parked {
			b.reading = false
			p.mu.Unlock()
			return
		}
		from, upTo := b.read+1, b.upTo
		p.mu.Unlock()
		stored, err := p.nextOfTenant(from, tenant)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			if !p.pause(wait.NextBackOff()) {
				return
			}
			continue
		}
		wait.Reset()
		p.unpark(tenant, b, stored, upTo)
	}
}

// unpark puts the first parked event of a tenant into its queue; stored is nil when there is none. upTo is the last parked
// event that was known when the stream was read.
func (p *partition) unpark(tenant string, b *backlog, stored *jetstream.RawStreamMsg, upTo uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closing:
	case stored == nil || stored.Sequence > b.upTo:
		if b.upTo == upTo { // otherwise an event has come meanwhile, and is read next
			p.log.Warn("parked events of a tenant are not in the stream any more", "first", b.read+1, "last", upTo, "tenant", tenant)
		}
		b.read = max(b.read, upTo)
	default:
		b.read = stored.Sequence
		m := p.message(stored)
		p.enqueue(b, m)
		b.bytes = max(0, b.bytes-m.space())
	}
	if b.parked = b.read < b.upTo; !b.parked {
		b.bytes = 0
	}
}

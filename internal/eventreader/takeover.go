package eventreader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
)

// receive takes one delivery in. New events of the partition come in stream order, but only what was never delivered
// before comes at once: what an earlier reader or a lost connection has swallowed comes again after its AckWait, behind
// newer events of the same conversation. So before a new event is taken in, the hole in front of it is filled from the
// stream itself. There is a hole only if a delivery was missed, and the consumer's own sequence shows that.
func (p *partition) receive(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		p.log.Error("delivery does not have metadata, JetStream will send it again", "error", err)
		return
	}
	message := newMessage(p.r.streams, m.Subject(), m.Data(), m.Headers(), meta.Timestamp)
	message.Sequence, message.Deliveries = meta.Sequence.Stream, meta.NumDelivered
	d := p.newDelivery(m, message)
	p.intake.Lock()
	defer p.intake.Unlock()
	if d.pin != "" {
		p.mu.Lock()
		p.pin = d.pin
		p.mu.Unlock()
	}
	if meta.Sequence.Consumer != p.nextDelivery {
		p.missed = true
	}
	p.nextDelivery = meta.Sequence.Consumer + 1
	if meta.NumDelivered == 1 && message.Sequence >= p.high {
		p.ahead = false
	}
	if message.Sequence <= p.high {
		p.deliveredAgain(message, d)
		return
	}
	if p.missed || meta.NumDelivered > 1 {
		if !p.backfill(message.Sequence - 1) {
			return // the next reader finds it
		}
		p.missed = false
	}
	p.high = message.Sequence
	p.mu.Lock()
	p.pending[message.StoredID()] = d
	p.ahead = p.ahead || len(p.pending) >= p.r.options.MaxAckPending
	p.mu.Unlock()
	p.admit(message)
}

// deliveredAgain takes in the delivery of a sequence that this reader knows. An event that waits gets its delivery for the
// acknowledgement, and so does one that was handled and is being acknowledged; any other one is handled again, see
// handleAgain: so is another event of the sequence than the one that this reader knows. The caller holds intake.
func (p *partition) deliveredAgain(m *Message, d *delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := m.StoredID()
	if _, handled := p.acking[id]; handled {
		p.acking[id] = d
		return
	}
	if p.closing {
		return
	}
	p.pending[id] = d
	p.ahead = p.ahead || len(p.pending) >= p.r.options.MaxAckPending
	if !p.waits(id, d) {
		p.handleAgain(m)
	}
}

// takeOver takes in the events that were delivered to an earlier reader and never acknowledged. A work queue keeps them
// until they are, so they are read from the stream, at once and in order, instead of waiting for their redelivery.
func (p *partition) takeOver(ctx context.Context) error {
	info, err := p.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the state of consumer %s: %w", p.name, err)
	}
	p.intake.Lock()
	defer p.intake.Unlock()
	p.nextDelivery = info.Delivered.Consumer + 1
	p.high = info.AckFloor.Stream
	if p.inherited, err = p.lastStored(ctx); err != nil {
		return err
	}
	p.ahead = info.NumAckPending >= p.r.options.MaxAckPending
	p.takingOver = true
	defer func() { p.takingOver = false }()
	if !p.backfill(info.Delivered.Stream) {
		return errors.New("given up during the takeover")
	}
	return nil
}

// catchUp looks for deliveries that were sent to this reader and never arrived, without waiting for their redelivery. It
// reports whether the consumer is gone: a server that lost its last writes may come back without it, and the library
// would ask for it for ever.
func (p *partition) catchUp() (gone bool) {
	p.intake.Lock()
	defer p.intake.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
	defer cancel()
	info, err := p.consumer.Info(ctx)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return true
	case err != nil:
		p.log.Debug("reading missed deliveries failed, JetStream delivers them again", "error", err)
		return false
	}
	p.backfill(info.Delivered.Stream)
	return false
}

// backfill takes in the stored events above high, up to and including a sequence. It tries until it has them all, or
// until the partition is given up; then it returns false. The caller holds intake.
func (p *partition) backfill(to uint64) bool {
	wait := retry.Backoff(50*time.Millisecond, time.Second)
	for p.high < to {
		found, err := p.readAhead(to)
		switch {
		case p.stopped(), p.r.sharing.Err() != nil:
			return false
		case err != nil:
			p.log.Log(p.ctx, natsclient.RetryLevel(err), "reading the events that an earlier reader left failed, will retry",
				"error", err)
			if !p.pause(wait.NextBackOff()) {
				return false
			}
		case !found:
			p.high = to
		default:
			wait.Reset()
		}
	}
	return true
}

// readAhead takes in the first stored event above high, unless it is above a sequence. The caller holds intake.
func (p *partition) readAhead(to uint64) (found bool, err error) {
	stored, err := p.nextStored(p.high + 1)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return false, nil
	case err != nil:
		return false, err
	case stored.Sequence > to:
		return false, nil
	}
	p.high = stored.Sequence
	if p.takingOver && p.r.options.Hooks.TakenOver != nil {
		p.r.options.Hooks.TakenOver()
	}
	p.admit(p.message(stored))
	return true, nil
}

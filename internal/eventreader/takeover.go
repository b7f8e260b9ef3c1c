package eventreader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// receive takes one delivery in. New events of the partition come in stream order, but only what was never delivered
// before comes at once: what an earlier reader or a lost connection has swallowed comes again after its AckWait, behind
// newer events of the same conversation. So before a new event is taken in, the hole in front of it is filled from the
// stream itself. There is a hole only if a delivery was missed, and the consumer's own sequence shows that.
func (p *partition) receive(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		p.log.Error("a delivery has no metadata, JetStream will send it again", "error", err)
		return
	}
	p.intake.Lock()
	defer p.intake.Unlock()
	if meta.Sequence.Consumer != p.nextDelivery {
		p.missed = true
	}
	p.nextDelivery = meta.Sequence.Consumer + 1
	seq := meta.Sequence.Stream
	if seq <= p.high {
		p.deliveredAgain(m, seq, meta.NumDelivered)
		return
	}
	if p.missed || meta.NumDelivered > 1 {
		if !p.backfill(seq - 1) {
			return // The next reader finds it.
		}
		p.missed = false
	}
	p.high = seq
	message := newMessage(p.r.streams.EventSubject(m.Subject()), m.Data(), m.Headers(), meta.Timestamp)
	message.Sequence, message.Deliveries = seq, meta.NumDelivered
	p.accept(&entry{message: message, handle: m})
}

// deliveredAgain attaches a new handle to an event that is held. One that is not held was handled, and its
// acknowledgement was lost or had no handle to go by.
func (p *partition) deliveredAgain(m jetstream.Msg, seq, deliveries uint64) {
	p.mu.Lock()
	e := p.held[seq]
	if e != nil {
		e.handle, e.touched, e.deliveries = m, time.Now(), deliveries
	}
	closing := p.closing
	p.mu.Unlock()
	if e == nil && !closing {
		_ = m.Ack() // if it gets lost, the event comes once more
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
	if !p.backfill(info.Delivered.Stream) {
		return errors.New("given up during the take-over")
	}
	return nil
}

// catchUp looks for deliveries that were sent to us and never arrived, without waiting for their redelivery.
func (p *partition) catchUp() {
	p.intake.Lock()
	defer p.intake.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
	defer cancel()
	info, err := p.consumer.Info(ctx)
	if err != nil {
		p.log.Debug("cannot look for missed deliveries, they come again by themselves", "error", err)
		return
	}
	p.backfill(info.Delivered.Stream)
}

// backfill takes in the stored events above high, up to and including a sequence. It tries until it has them all, or
// until the partition is given up; then it says false. The caller holds intake.
func (p *partition) backfill(to uint64) bool {
	wait := newBackoff(50*time.Millisecond, time.Second)
	for p.high < to {
		stored, err := p.nextStored(p.high + 1)
		switch {
		case p.stopped(), p.r.sharing.Err() != nil:
			return false
		case errors.Is(err, jetstream.ErrMsgNotFound):
			p.high = to
		case err != nil:
			p.log.Warn("cannot read the events that an earlier reader left, trying again", "error", err)
			if !p.pause(wait.NextBackOff()) {
				return false
			}
		case stored.Sequence > to:
			p.high = to
		default:
			p.high = stored.Sequence
			p.acceptStored(stored)
			wait.Reset()
		}
	}
	return true
}

// nextStored reads the first event of the partition from a sequence on.
func (p *partition) nextStored(from uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
	defer cancel()
	return p.r.streams.Events().GetMsg(ctx, from, jetstream.WithGetMsgSubject(p.filter))
}

func (p *partition) acceptStored(stored *jetstream.RawStreamMsg) {
	message := newMessage(p.r.streams.EventSubject(stored.Subject), stored.Data, stored.Header, stored.Time)
	message.Sequence, message.TakenOver = stored.Sequence, true
	if p.r.options.Hooks.TakenOver != nil {
		p.r.options.Hooks.TakenOver()
	}
	p.accept(&entry{message: message})
}

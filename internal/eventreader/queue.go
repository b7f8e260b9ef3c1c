package eventreader

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	retryInitial = 100 * time.Millisecond
	retryLongest = 10 * time.Second
)

// entry is one event that is held. handle, touched and deliveries are guarded by the partition's mu; the rest belongs
// to the lane that the event is in.
type entry struct {
	message    *Message
	handle     jetstream.Msg // nil while the event is only known from the stream
	touched    time.Time     // when JetStream last heard of it
	deliveries uint64
	accepted   time.Time
	panics     int
}

// lane is one conversation with events to handle, in stream order. It exists, and has a goroutine, only while it has
// any.
type conversationQueue struct {
	key   string
	queue []*entry // behind the one that is being handled
}

// accept puts an event at the end of its conversation's lane. Events come in ascending sequence, so lanes are in order.
func (p *partition) accept(e *entry) {
	now := time.Now()
	e.accepted, e.touched, e.deliveries = now, now, e.message.Deliveries
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return // The next reader finds it.
	}
	p.held[e.message.Sequence] = e
	if p.r.options.Hooks.Received != nil {
		p.r.options.Hooks.Received()
	}
	if l := p.byKey[e.message.Subject]; l != nil {
		l.queue = append(l.queue, e)
		return
	}
	l := &conversationQueue{key: e.message.Subject}
	p.byKey[l.key] = l
	p.queues.Add(1)
	go p.run(l, e)
}

// run handles the events of a lane one after another, until there are none or the partition is given up.
func (p *partition) run(l *conversationQueue, e *entry) {
	defer p.queues.Done()
	for e != nil && p.handle(e) {
		e = p.next(l)
	}
}

func (p *partition) next(l *conversationQueue) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(l.queue) == 0 {
		delete(p.byKey, l.key)
		return nil
	}
	e := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	return e
}

// handle brings one event to its end. It says false when the partition was given up first; the event is then still
// held.
func (p *partition) handle(e *entry) bool {
	var wait *backoff.ExponentialBackOff
	for {
		o, ran := p.try(e)
		if !ran {
			return false
		}
		switch o.action {
		case actionAck:
			p.ack(e, o)
			return true
		case actionDeadLetter:
			if !p.writeDeadLetter(e, o.reason) {
				return false
			}
			p.ack(e, o)
			return true
		case actionRetry:
			if wait == nil {
				wait = newBackoff(retryInitial, retryLongest)
			}
			if p.r.options.Hooks.Retried != nil {
				p.r.options.Hooks.Retried()
			}
			if !p.pause(wait.NextBackOff()) {
				return false
			}
		}
	}
}

// try calls the handler once, in one of the slots that all conversations share; a conversation that waits for its next
// try does not hold a slot.
func (p *partition) try(e *entry) (o Outcome, ran bool) {
	if !e.message.valid {
		return DeadLetter(fault.BadEvent, "subject does not have three valid tokens"), !p.stopped()
	}
	select {
	case p.r.slots <- struct{}{}:
	case <-p.quit:
		return Outcome{}, false
	}
	defer func() { <-p.r.slots }()
	if p.stopped() || !p.lease.valid() {
		return Outcome{}, false
	}
	p.mu.Lock()
	e.message.Deliveries = e.deliveries
	p.mu.Unlock()
	return p.call(e), true
}

// call calls the handler and turns a panic into an outcome.
func (p *partition) call(e *entry) (o Outcome) {
	begun := time.Now()
	defer func() {
		if value := recover(); value != nil {
			e.panics++
			o = panicOutcome(value, e.panics)
			p.log.Error("handler panicked", "sequence", e.message.Sequence, "times", e.panics, "error", o.Err(),
				"stack", string(debug.Stack()))
		}
		if p.r.options.Hooks.Handled != nil {
			p.r.options.Hooks.Handled(time.Since(begun), o)
		}
	}()
	return p.r.options.Handler(p.ctx, e.message)
}

// writeDeadLetter stores the dead letter, trying until it is stored or the partition is given up.
func (p *partition) writeDeadLetter(e *entry, reason *fault.Fault) bool {
	wait := newBackoff(retryInitial, retryLongest)
	for {
		err := p.r.letters.Write(p.ctx, e.message.failedEvent(), reason)
		if err == nil {
			p.log.Warn("event became a dead letter", "sequence", e.message.Sequence, "subject", e.message.Subject,
				"reason", string(reason.Kind))
			if p.r.options.Hooks.DeadLetter != nil {
				p.r.options.Hooks.DeadLetter(string(reason.Kind))
			}
			return true
		}
		if !p.stopped() {
			p.log.Error("cannot store a dead letter, trying again", "error", err)
		}
		if !p.pause(wait.NextBackOff()) {
			return false
		}
	}
}

// ack tells JetStream that an event is done with. A plain acknowledgement is enough: if it gets lost the event comes
// again and is known. An event without a handle is deleted from the stream, which counts as its acknowledgement.
func (p *partition) ack(e *entry, o Outcome) {
	p.mu.Lock()
	handle := e.handle
	delete(p.held, e.message.Sequence)
	p.mu.Unlock()
	switch {
	case handle == nil:
		ctx, cancel := context.WithTimeout(p.lease.ctx, apiTimeout)
		defer cancel()
		if err := p.r.streams.Events().DeleteMsg(ctx, e.message.Sequence); err != nil {
			p.log.Debug("cannot delete a handled event, it is acknowledged when it comes again", "error", err)
		}
	case o.action == actionDeadLetter:
		_ = handle.TermWithReason(string(o.reason.Kind))
	default:
		_ = handle.Ack()
	}
	if p.r.options.Hooks.Acked != nil {
		p.r.options.Hooks.Acked(o.Result(), time.Since(e.accepted))
	}
}

// pause waits; it says false when the partition is given up meanwhile.
func (p *partition) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.quit:
		return false
	case <-p.ctx.Done():
		return false
	}
}

// stopped says whether no handler may be started any more.
func (p *partition) stopped() bool {
	select {
	case <-p.quit:
		return true
	default:
		return p.ctx.Err() != nil
	}
}

// newBackoff returns a backoff that grows from try to try, with jitter, and never gives up by itself.
func newBackoff(initial, longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(initial), backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0))
}

package eventreader

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/internal/stack"
)

const (
	retryInitial = 100 * time.Millisecond
	retryLongest = 10 * time.Second
)

// schedule queues a conversation for a slot. The caller holds mu.
func (p *partition) schedule(q *conversationQueue) {
	k := &task{tenant: q.tenant, size: q.largest}
	k.run = func() { p.run(q, k) }
	p.r.scheduler.enqueue(k)
}

// run handles the first event of a queue once, in a slot.
func (p *partition) run(q *conversationQueue, k *task) {
	stack.Grow() // the handler asks Temporal
	if !p.begin() {
		p.r.scheduler.release(k, Outcome{})
		return
	}
	defer p.tasks.Done()
	m, o, ran := p.try(q)
	p.r.scheduler.release(k, o)
	switch {
	case !ran: // the next reader reads the event
	case m == nil && o.cause == nil && o.held == nil: // there was no event
		p.mu.Lock()
		p.next(q)
		p.mu.Unlock()
	case o.held != nil:
		p.hold(o, q)
	case o.action == actionRetry:
		p.retryLater(q, m, o)
	default:
		p.finish(q, m, o)
	}
}

// begin reports whether a call may begin, and counts it.
func (p *partition) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.tasks.Add(1)
	return true
}

// try reads the first event of a queue and calls the handler. It returns no message when the queue does not have an event,
// and ran is false when the partition was given up first.
func (p *partition) try(q *conversationQueue) (m *Message, o Outcome, ran bool) {
	m, err := p.first(q)
	switch {
	case err != nil && p.stopped():
		return nil, Outcome{}, false
	case err != nil:
		return nil, Retry("read_stream", err), true
	case m == nil:
		return nil, Outcome{}, true
	}
	// The check of the lease comes last: reading may have taken long.
	if p.stopped() || !p.lease.valid() {
		return nil, Outcome{}, false
	}
	switch {
	case !m.valid:
		o = DeadLetter(fault.BadEvent, "subject does not have three valid tokens")
	case p.r.excess.take(m):
		o = p.call(q, m, p.r.options.Full)
		o.full = true
	default:
		o = p.call(q, m, p.r.options.Handler)
	}
	if o.action == actionDeadLetter {
		o = p.writeDeadLetter(m, o)
	}
	return m, o, true
}

// call calls a handler and turns a panic into an outcome.
func (p *partition) call(q *conversationQueue, m *Message, handler Handler) (o Outcome) {
	begun := time.Now()
	defer func() {
		if value := recover(); value != nil {
			q.panics++
			o = panicOutcome(value, q.panics)
			p.log.Error("handler panicked", append(m.ids(), "times", q.panics, "error", o.Err(), "stack", string(debug.Stack()))...)
		}
	}()
	o = handler(p.ctx, m)
	o.began, o.ended = begun, time.Now()
	return o
}

// writeDeadLetter stores an event as a dead letter. It returns a retry when that fails.
func (p *partition) writeDeadLetter(m *Message, o Outcome) Outcome {
	if err := p.r.letters.Write(p.ctx, m.failedEvent(), o.reason); err != nil {
		return Retry("write_dead_letter", err)
	}
	p.log.Warn("event became a dead letter", append(m.ids(), "reason", string(o.reason.Kind))...)
	if p.r.options.Hooks.DeadLetter != nil {
		p.r.options.Hooks.DeadLetter(string(o.reason.Kind))
	}
	return o
}

// first returns the event of a queue that is handled next, nil when the queue does not have one.
func (p *partition) first(q *conversationQueue) (*Message, error) {
	p.mu.Lock()
	from, upTo := q.done+1, q.upTo
	switch kept := q.kept; {
	case len(q.again) > 0:
		id := q.again[0].StoredID
		p.mu.Unlock()
		return p.readAgain(q, id)
	case kept != nil:
		p.unkeep(q)
		defer p.mu.Unlock()
		return p.start(q, kept), nil
	}
	p.mu.Unlock()
	return p.readNext(q, from, upTo)
}

// readAgain reads an event that JetStream delivered again. One that the stream does not have was acknowledged meanwhile,
// erased by an operator, or lost by the server; another one of its sequence has a delivery of its own.
func (p *partition) readAgain(q *conversationQueue, id StoredID) (*Message, error) {
	stored, found, changed, err := p.getEvent(p.ctx, id)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !found {
		q.removed(id)
		p.log.Warn("event that was delivered again is not in the stream any more",
			"sequence", id.Sequence, "subject", p.r.streams.EventSubject(q.subject), "sequence_has_another_event", changed)
		return nil, nil
	}
	return p.start(q, p.message(stored)), nil
}

// readNext reads the first event of a queue from a sequence on. upTo is the last one that was known before.
func (p *partition) readNext(q *conversationQueue, from, upTo uint64) (*Message, error) {
	stored, err := p.nextOf(from, q.subject, func(subject string) bool { return subject == q.subject })
	missing := errors.Is(err, jetstream.ErrMsgNotFound)
	if err != nil && !missing {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if missing || stored.Sequence > q.upTo {
		if q.upTo != upTo {
			return nil, nil // an event has come meanwhile: its turn is next
		}
		// The events were erased by an operator, or lost by the server. A newer one is put into the queue by the delivery that
		// brings it.
		p.log.Warn("events of a conversation are not in the stream any more",
			"first", from, "last", upTo, "subject", p.r.streams.EventSubject(q.subject))
		q.done = max(q.done, upTo)
		q.recount()
		return nil, nil
	}
	return p.start(q, p.message(stored)), nil
}

// start marks an event as the one that is being handled. The caller holds mu.
func (p *partition) start(q *conversationQueue, m *Message) *Message {
	q.current = m.StoredID()
	if d := p.pending[q.current]; d != nil {
		m.Deliveries = d.count
	}
	m.TakenOver = m.Sequence <= max(p.inherited, q.handled)
	m.Tried = slices.Contains(q.tried, q.current)
	return m
}

// hold schedules a queue again when the hold of its event ends.
func (p *partition) hold(o Outcome, q *conversationQueue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.current = StoredID{}
	if o.latest.IsZero() {
		p.resting[q] = context.AfterFunc(o.held, p.rested(q))
		return
	}
	until, end := context.WithDeadline(o.held, o.latest)
	stop := context.AfterFunc(until, p.rested(q))
	p.resting[q] = func() bool {
		defer end() // after stop, so that it is not taken for the end of the hold
		return stop()
	}
}

// rested returns the function that schedules a queue when its wait has ended.
func (p *partition) rested(q *conversationQueue) func() {
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.resting, q)
		if !p.closing {
			p.schedule(q)
		}
	}
}

// retryLater schedules a queue again after a backoff.
func (p *partition) retryLater(q *conversationQueue, m *Message, o Outcome) {
	p.mu.Lock()
	q.current = StoredID{}
	if m != nil && !m.Tried {
		q.tried = append(q.tried, m.StoredID())
	}
	if q.retries == nil {
		q.retries = retry.Backoff(retryInitial, retryLongest)
		p.retrying++
	}
	wait := q.retries.NextBackOff()
	timer := time.AfterFunc(wait, p.rested(q))
	if !o.full { // an answer that failed waits for its time
		p.resting[q] = timer.Stop
	}
	p.mu.Unlock()
	p.r.retries.note(q.tenant, o, m, wait)
}

// finish acknowledges an event that was handled and goes on to the next one of its queue.
func (p *partition) finish(q *conversationQueue, m *Message, o Outcome) {
	id := m.StoredID()
	p.mu.Lock()
	d := p.pending[id]
	delete(p.pending, id)
	trusted := d != nil && p.trusted(d)
	if trusted {
		p.acked = d.reply
	} else {
		p.acking[id] = d
	}
	q.finish(m.space())
	p.next(q)
	p.mu.Unlock()
	if trusted {
		p.respond(d, o.acknowledgement())
		return
	}
	p.ackStored(m, o)
}

package bus

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
type lane struct {
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
	if p.c.options.Hooks.Received != nil {
		p.c.options.Hooks.Received()
	}
	if l := p.byKey[e.message.Subject]; l != nil {
		l.queue = append(l.queue, e)
		return
	}
	l := &lane{key: e.message.Subject}
	p.byKey[l.key] = l
	p.lanes.Add(1)
	go p.run(l, e)
}

// run handles the events of a lane one after another, until there are none or the partition is given up.
func (p *partition) run(l *lane, e *entry) {
	defer p.lanes.Done()
	for e != nil && p.handle(e) {
		e = p.next(l)
	}
}

func (p *partition) next(l *lane) *entry {
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
		v, ran := p.try(e)
		if !ran {
			return false
		}
		switch v.action {
		case ack:
			p.settle(e, v)
			return true
		case reject:
			if !p.bury(e, v.reason) {
				return false
			}
			p.settle(e, v)
			return true
		case retry:
			if wait == nil {
				wait = newBackoff(retryInitial, retryLongest)
			}
			if p.c.options.Hooks.Retried != nil {
				p.c.options.Hooks.Retried()
			}
			if !p.pause(wait.NextBackOff()) {
				return false
			}
		}
	}
}

// try runs the handler once, in one of the slots that all lanes share; a lane that waits for another try has none.
func (p *partition) try(e *entry) (v verdict, ran bool) {
	if !e.message.valid {
		return verdict{action: reject, reason: fault.New(fault.BadEvent, "subject has not three valid tokens")}, !p.stopped()
	}
	select {
	case p.c.slots <- struct{}{}:
	case <-p.quit:
		return verdict{}, false
	}
	defer func() { <-p.c.slots }()
	if p.stopped() || !p.lease.valid() {
		return verdict{}, false
	}
	p.mu.Lock()
	e.message.Deliveries = e.deliveries
	p.mu.Unlock()
	err := p.call(e)
	return decide(err, e.panics), true
}

// call runs the handler and turns a panic into an error.
func (p *partition) call(e *entry) (err error) {
	begun := time.Now()
	result := HandlerOK
	defer func() {
		if r := recover(); r != nil {
			e.panics++
			result = HandlerPanicked
			crash := &panicked{value: r, stack: debug.Stack()}
			p.log.Error("handler panicked", "sequence", e.message.Sequence, "times", e.panics, "error", crash,
				"stack", string(crash.stack))
			err = crash
		}
		if p.c.options.Hooks.Handled != nil {
			p.c.options.Hooks.Handled(time.Since(begun), result)
		}
	}()
	if err = p.c.options.Handler(p.ctx, e.message); err != nil {
		result = HandlerFailed
		if decide(err, 0).action == reject {
			result = HandlerRejected
		}
	}
	return err
}

// bury stores the dead letter, trying until it is stored or the partition is given up.
func (p *partition) bury(e *entry, reason *fault.Fault) bool {
	wait := newBackoff(retryInitial, retryLongest)
	for {
		err := p.c.letters.Write(p.ctx, e.message, reason)
		if err == nil {
			p.log.Warn("event became a dead letter", "sequence", e.message.Sequence, "subject", cleanDetail(e.message.Subject),
				"reason", string(reason.Kind))
			if p.c.options.Hooks.DeadLetter != nil {
				p.c.options.Hooks.DeadLetter(string(reason.Kind))
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

// settle tells JetStream that an event is done with. A plain acknowledgement is enough: if it gets lost the event comes
// again and is known. An event without a handle is deleted from the stream, which counts as its acknowledgement.
func (p *partition) settle(e *entry, v verdict) {
	p.mu.Lock()
	handle := e.handle
	delete(p.held, e.message.Sequence)
	p.mu.Unlock()
	switch {
	case handle == nil:
		ctx, cancel := context.WithTimeout(p.lease.ctx, apiTimeout)
		defer cancel()
		if err := p.c.streams.events.DeleteMsg(ctx, e.message.Sequence); err != nil {
			p.log.Debug("cannot delete a handled event, it is acknowledged when it comes again", "error", err)
		}
	case v.action == reject:
		_ = handle.TermWithReason(string(v.reason.Kind))
	default:
		_ = handle.Ack()
	}
	if p.c.options.Hooks.Settled != nil {
		p.c.options.Hooks.Settled(v.action.String(), time.Since(e.accepted))
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

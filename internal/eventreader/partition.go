package eventreader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// group is the one priority group of an intake consumer.
	group = "intake"
	// pinTTL is how long a reader that has stopped asking keeps its pin. A pull request lasts pullExpiry, so a reader that
	// is alive asks at least twice in that time.
	pinTTL     = 2 * time.Second
	pullExpiry = time.Second
	pullBatch  = 256
)

// partition is one partition while this starter reads it. It knows every event that is stored there and not
// acknowledged, up to high: such an event is either held, or it was handled and its acknowledgement is on the way.
type partition struct {
	r      *Reader
	h      *assignment
	lease  *lease
	log    *slog.Logger
	filter string
	name   string // of the JetStream consumer

	ctx           context.Context // of the handlers; ends with the lease
	cancel        context.CancelFunc
	quit          chan struct{}   // closed when no handler may be started any more
	restored      <-chan struct{} // closed when streams had vanished: sequences begin at 1 again
	failed        chan struct{}   // closed when JetStream has ended the reading
	heartbeatDone chan struct{}   // closed when heartbeat has returned; nil while it never ran
	queues        sync.WaitGroup

	consumer jetstream.Consumer
	reading  jetstream.ConsumeContext

	// intake orders what comes in: one delivery or one walk over the stored events at a time.
	intake       sync.Mutex
	high         uint64 // highest sequence that was taken in
	nextDelivery uint64 // consumer sequence that the next delivery has if none was missed
	missed       bool   // some delivery went elsewhere since the last new event

	mu      sync.Mutex
	closing bool
	held    map[uint64]*entry
	byKey   map[string]*conversationQueue
}

func newPartition(r *Reader, h *assignment, right *lease, log *slog.Logger) *partition {
	p := &partition{
		r: r, h: h, lease: right, log: log, filter: r.streams.PartitionFilter(h.partition),
		name:     fmt.Sprintf("hookturn-intake-%d", h.partition),
		restored: r.streams.Restored(),
		quit:     make(chan struct{}), failed: make(chan struct{}),
		held: map[uint64]*entry{}, byKey: map[string]*conversationQueue{},
	}
	p.ctx, p.cancel = context.WithCancel(right.ctx)
	return p
}

// open takes over what an earlier reader has left unacknowledged, and then begins to read. Nobody else reads meanwhile,
// because we have the lease; so no event can come between the two.
func (p *partition) open() error {
	ctx, cancel := context.WithTimeout(p.ctx, apiTimeout)
	defer cancel()
	defer context.AfterFunc(p.r.sharing, cancel)()
	var err error
	if p.consumer, err = p.r.streams.Events().CreateOrUpdateConsumer(ctx, p.consumerConfig()); err != nil {
		return fmt.Errorf("create consumer %s: %w", p.name, err)
	}
	if err := p.takeOver(ctx); err != nil {
		return err
	}
	p.reading, err = p.consumer.Consume(p.receive,
		jetstream.PullMaxMessages(min(pullBatch, p.r.options.MaxAckPending)),
		jetstream.PullExpiry(pullExpiry), jetstream.PullPriorityGroup(group),
		jetstream.ConsumeErrHandler(p.consumeError))
	if err != nil {
		return fmt.Errorf("consume %s: %w", p.name, err)
	}
	p.heartbeatDone = make(chan struct{})
	go p.heartbeat()
	return nil
}

func (p *partition) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:        p.name,
		Description:    "hookturn starters, one at a time",
		FilterSubject:  p.filter,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        p.r.options.AckWait,
		MaxAckPending:  p.r.options.MaxAckPending,
		MaxDeliver:     -1,
		PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{group},
		PinnedTTL:      pinTTL,
	}
}

// consumeError hears of missed heartbeats, a pin that went elsewhere and the like. nats.go mends them by itself; what
// is left to do is to look for deliveries that went astray.
func (p *partition) consumeError(_ jetstream.ConsumeContext, err error) {
	if !errors.Is(err, jetstream.ErrConnectionClosed) {
		p.log.Debug("reading a partition was disturbed", "error", err)
	}
	p.h.hint()
}

// waitForEnd returns when the partition is to be given up.
func (p *partition) waitForEnd() {
	select {
	case <-p.h.released:
		p.log.Info("another starter gets a partition")
	case <-p.r.sharing.Done():
	case <-p.lease.ctx.Done():
		p.log.Warn("lost the claim on a partition, its events are left to whoever has it next")
	case <-p.restored:
		p.log.Warn("streams were created again, starting the partition again", "partition", p.h.partition)
	case <-p.failed:
		p.log.Warn("reading a partition has ended, starting again")
	}
}

// heartbeat looks after the events that are held: JetStream hears of each well before its AckWait ends. One goroutine does
// it for the whole partition.
func (p *partition) heartbeat() {
	defer close(p.heartbeatDone)
	ticker := time.NewTicker(p.r.options.AckWait / 4)
	defer ticker.Stop()
	ended, quit := p.reading.Closed(), p.quit
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-quit:
			// From here on only the events that are still being handled matter.
			ended, quit = nil, nil
		case <-ended:
			close(p.failed)
			ended = nil
		case <-p.h.recheck:
			p.catchUp()
		case now := <-ticker.C:
			p.sendInProgress(now)
		}
	}
}

// sendInProgress covers every event that was not touched for a while, queued ones included.
func (p *partition) sendInProgress(now time.Time) {
	var due []jetstream.Msg
	p.mu.Lock()
	for _, e := range p.held {
		if e.handle != nil && now.Sub(e.touched) >= p.r.options.AckWait/5 {
			e.touched = now
			due = append(due, e.handle)
		}
	}
	p.mu.Unlock()
	for _, m := range due {
		// An error means that the connection is gone; the event is then delivered again, and known.
		_ = m.InProgress()
	}
}

// close stops reading, lets the running handlers finish, and gives the events that are left back to JetStream. When it
// returns, no handler of this partition runs, unless Stop has run out of patience.
func (p *partition) close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	close(p.quit)
	if p.reading != nil {
		closed := p.reading.Closed()
		p.reading.Stop()
		<-closed
	}
	p.drain()
	p.countReleased()
	if p.lease.valid() {
		p.nakHeld()
	}
	p.cancel()
	if p.heartbeatDone != nil {
		<-p.heartbeatDone
	}
}

// drain waits for the running handlers, and cancels them when their time is over.
func (p *partition) drain() {
	idle := make(chan struct{})
	go func() {
		p.queues.Wait()
		close(idle)
	}()
	patience := time.NewTimer(drainTimeout)
	defer patience.Stop()
	overdue := patience.C
	if p.r.sharing.Err() != nil {
		overdue = nil // Stop's context says how long.
	}
	select {
	case <-idle:
		return
	case <-overdue:
	case <-p.r.abort:
	case <-p.lease.ctx.Done():
	}
	p.cancel()
	select {
	case <-idle:
	case <-p.r.abort:
		select {
		case <-idle:
		case <-time.After(closeTimeout):
			p.log.Error("a handler ignores that its context has ended")
		}
	}
}

func (p *partition) countReleased() {
	p.mu.Lock()
	n := len(p.held)
	p.mu.Unlock()
	if n > 0 && p.r.options.Hooks.Released != nil {
		p.r.options.Hooks.Released(n)
	}
}

// nakHeld returns the events that were not handled, each after a little while of its own, and frees the pin.
func (p *partition) nakHeld() {
	p.mu.Lock()
	for _, e := range p.held {
		if e.handle != nil {
			_ = e.handle.NakWithDelay(50*time.Millisecond + rand.N(200*time.Millisecond))
		}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.lease.ctx, closeTimeout)
	defer cancel()
	// The next reader looks at what is unacknowledged, so the server must have our acknowledgements by then.
	if err := p.r.js.Conn().FlushWithContext(ctx); err != nil {
		return
	}
	if p.reading != nil {
		_ = p.r.streams.Events().UnpinConsumer(ctx, p.name, group) // else the pin runs out by itself
	}
}

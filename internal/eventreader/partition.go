package eventreader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// group is the one priority group of an intake consumer.
	group = "intake"
	// pinTTL is how long a reader that has stopped pulling keeps its pin. A pull request lasts pullExpiry, so a live reader
	// pulls at least twice in that time.
	pinTTL     = 2 * time.Second
	pullExpiry = time.Second
)

// partition is one partition while this starter reads it. It knows every event that is stored there, up to high: such an
// event waits in a queue, is parked, is being handled, or was handled and its acknowledgement is on the way.
type partition struct {
	r      *Reader
	h      *assignment
	lease  *lease
	log    *slog.Logger
	filter string
	name   string // of the JetStream consumer

	ctx      context.Context // of the handlers; ends with the lease
	cancel   context.CancelFunc
	quit     chan struct{}   // closed when no handler may be started any more
	restored <-chan struct{} // closed when the stream of events had vanished, or was set back: its sequences may come again
	failed   chan struct{}   // closed when JetStream has ended the reading
	loops    sync.WaitGroup
	tasks    sync.WaitGroup // running calls and readers of parked events

	consumer jetstream.Consumer
	reading  jetstream.ConsumeContext

	// intake orders what comes in: one delivery or one walk over the stored events at a time.
	intake       sync.Mutex
	inherited    uint64 // last sequence of the stream when the lease was acquired: an earlier reader may have handled it
	high         uint64 // highest sequence that was taken in
	nextDelivery uint64 // consumer sequence that the next delivery has if none was missed
	missed       bool   // some delivery went elsewhere since the last new event
	takingOver   bool   // the events of an earlier reader are being read
	ahead        bool   // new events are read from the stream, see readStream

	mu      sync.Mutex
	closing bool
	pin     string // id of the consumer's pin in the latest delivery
	pending map[StoredID]*delivery
	// acking are the handled events that are compared with the stream before they are acknowledged, see ackStored; nil: not
	// delivered yet.
	acking   map[StoredID]*delivery
	queues   map[string]*conversationQueue // by stored subject
	backlogs map[string]*backlog           // by tenant
	retrying int                           // queues that wait for a retry
	// resting are the queues that wait for a time or an end, with what ends the wait.
	resting map[*conversationQueue]func() (stopped bool)
	acked   string // reply subject of the latest acknowledged delivery, empty for none
}

func newPartition(r *Reader, h *assignment, right *lease, log *slog.Logger) *partition {
	p := &partition{
		r: r, h: h, lease: right, log: log, filter: r.streams.PartitionFilter(h.partition),
		name:     consumerName(h.partition),
		restored: r.streams.Restored(schemas.StreamEvents),
		quit:     make(chan struct{}), failed: make(chan struct{}),
		pending: map[StoredID]*delivery{}, acking: map[StoredID]*delivery{},
		queues: map[string]*conversationQueue{}, backlogs: map[string]*backlog{},
		resting: map[*conversationQueue]func() bool{},
	}
	p.ctx, p.cancel = context.WithCancel(right.ctx)
	return p
}

// consumerName returns the name of the JetStream consumer of a partition.
func consumerName(partition int) string { return fmt.Sprintf("hookturn-intake-%d", partition) }

// open takes over what an earlier reader has left unacknowledged, and then begins to read. No other reader reads meanwhile,
// because this one has the lease; so no event can come between the two.
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
		jetstream.PullMaxBytes(p.pullBytes()), jetstream.PullExpiry(pullExpiry), jetstream.PullPriorityGroup(group),
		jetstream.ConsumeErrHandler(p.consumeError))
	if err != nil {
		return fmt.Errorf("consume %s: %w", p.name, err)
	}
	p.loops.Go(p.heartbeat)
	p.loops.Go(p.readStream)
	return nil
}

// pullBytes bounds the deliveries that wait in the client: all partitions together get the reader's share for them, each at
// least two of the largest events.
func (p *partition) pullBytes() int {
	share := int(p.r.options.MemoryLimit) / pullShare / p.r.streams.PartitionsNow()
	return max(share, 2*int(p.r.js.Conn().MaxPayload()))
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

// consumeError receives missed heartbeats, the loss of the pin and the like. nats.go recovers from them; what is left to do
// is to look for lost deliveries.
func (p *partition) consumeError(_ jetstream.ConsumeContext, err error) {
	if !errors.Is(err, jetstream.ErrConnectionClosed) {
		p.log.Debug("reading a partition was interrupted", "error", err)
	}
	p.h.hint()
}

// waitForEnd waits until the partition is to be given up.
func (p *partition) waitForEnd() {
	select {
	case <-p.h.released:
		p.log.Info("partition assigned to another starter")
	case <-p.r.sharing.Done():
	case <-p.lease.ctx.Done():
		p.log.Warn("partition lease lost, the next reader reads its events")
	case <-p.restored:
		p.log.Warn("stream of events was created again, starting the partition again")
	case <-p.failed:
		p.log.Warn("reading a partition ended, will start again")
	}
}

// heartbeat reports the pending events to JetStream well before their AckWait ends, and looks for lost deliveries when the
// reading was interrupted. One goroutine does it for the whole partition.
func (p *partition) heartbeat() {
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
			if p.catchUp() && ended != nil {
				close(p.failed)
				ended = nil
			}
		case now := <-ticker.C:
			p.sendInProgress(now)
		}
	}
}

// close stops reading, lets the running handlers finish, and gives the events that are left back to JetStream. When it
// returns, no handler of this partition runs, unless Stop was cut off.
func (p *partition) close() {
	p.mu.Lock()
	p.closing = true
	for _, q := range p.queues {
		p.unkeep(q)
	}
	p.mu.Unlock()
	close(p.quit)
	if p.reading != nil {
		closed := p.reading.Closed()
		p.reading.Stop()
		<-closed
	}
	p.drain()
	if p.lease.valid() {
		p.giveBack()
	}
	p.cancel()
	p.loops.Wait()
}

// drain waits for the running handlers, and cancels them after the timeout.
func (p *partition) drain() {
	idle := make(chan struct{})
	go func() {
		p.tasks.Wait()
		close(idle)
	}()
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	overdue := timer.C
	if p.r.sharing.Err() != nil {
		overdue = nil // Stop's context decides
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
		case <-time.After(p.r.options.closeTimeout):
			p.log.Error("handler did not return after its context ended")
		}
	}
}

// giveBack hands the events that were not handled back to JetStream and unpins the consumer.
func (p *partition) giveBack() {
	p.nakPending()
	ctx, cancel := context.WithTimeout(p.lease.ctx, p.r.options.closeTimeout)
	defer cancel()
	// The next reader reads the unacknowledged events, so JetStream must have processed our acknowledgements by then.
	if err := p.flushAcks(ctx); err != nil {
		return
	}
	if p.reading != nil {
		_ = p.r.streams.Events().UnpinConsumer(ctx, p.name, group) // otherwise the pin expires
	}
}

// pause waits. It returns false when the partition is given up meanwhile.
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

// stopped reports whether no handler may be started any more.
func (p *partition) stopped() bool {
	select {
	case <-p.quit:
		return true
	default:
		return p.ctx.Err() != nil
	}
}

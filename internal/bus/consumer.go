package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/hookturn/hookturn/schemas"
)

const (
	defaultMaxInFlight   = 256
	defaultMaxAckPending = 2000
	defaultAckWait       = 30 * time.Second
	// drainTimeout is how long running handlers may take when their partition moves to another starter.
	drainTimeout = 10 * time.Second
	// closeTimeout bounds one request that only tidies up.
	closeTimeout = time.Second
)

// ConsumerOptions say how events are taken in.
type ConsumerOptions struct {
	Name          string // the instance id, different for every starter; random when empty
	Handler       Handler
	MaxInFlight   int           // handlers that run at once; 256 when 0
	MaxAckPending int           // events of one partition that are held at once, queued ones included; 2,000 when 0
	AckWait       time.Duration // after this time without a sign JetStream delivers an event again; 30 s when 0
	Logger        *slog.Logger
	Hooks         Hooks
}

// Hooks are called as events pass, for metrics. Any of them may be nil; all must be quick and safe to call at once.
type Hooks struct {
	Received   func()                                          // an event is held for the first time
	Settled    func(verdict string, held time.Duration)        // "ack" or "dead_letter", and how long it was held
	Released   func(n int)                                     // held events were given up, for another reader
	Retried    func()                                          // an event could not be handled and waits
	TakenOver  func()                                          // an event was found that another reader had left
	DeadLetter func(reason string)                             // the failure word of a dead letter that was stored
	Handled    func(took time.Duration, outcome HandlerResult) // one run of the handler
}

// HandlerResult is how one run of a handler ended.
type HandlerResult string

// The results of a handler.
const (
	HandlerOK       HandlerResult = "ok"
	HandlerRejected HandlerResult = "rejected"
	HandlerFailed   HandlerResult = "failed"
	HandlerPanicked HandlerResult = "panicked"
)

// Consumer hands the events of this starter's share of the partitions to its handler.
type Consumer struct {
	js      jetstream.JetStream
	streams Streams
	options ConsumerOptions
	letters *DeadLetters
	log     *slog.Logger
	name    string        // key in the starters' bucket
	owner   string        // value of our claims, different for every Consumer that ever was
	slots   chan struct{} // one token for every handler that runs

	sharing  context.Context // ends when Stop is called
	stop     context.CancelFunc
	hurry    chan struct{} // closed when Stop has run out of patience
	stopOnce sync.Once
	shared   chan struct{} // share has returned; nil before Start
	tasks    sync.WaitGroup

	mu       sync.Mutex
	holdings map[int]*holding

	// Touched by share, and by Stop after it.
	announced  time.Time
	revision   uint64
	reconnects uint64
}

// NewConsumer makes a consumer; it reads nothing before Start.
func NewConsumer(js jetstream.JetStream, s Streams, o ConsumerOptions) *Consumer {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	if o.MaxAckPending <= 0 {
		o.MaxAckPending = defaultMaxAckPending
	}
	if o.AckWait <= 0 {
		o.AckWait = defaultAckWait
	}
	if o.Name == "" {
		o.Name = nuid.Next()
	}
	c := &Consumer{
		js: js, streams: s, options: o, letters: NewDeadLetters(js, s),
		log:   orDiscard(o.Logger).With("starter", o.Name),
		name:  schemas.ConversationToken(o.Name), // any name becomes a valid key
		owner: o.Name + "/" + nuid.Next(),
		slots: make(chan struct{}, o.MaxInFlight),
		hurry: make(chan struct{}), holdings: map[int]*holding{},
	}
	c.sharing, c.stop = context.WithCancel(context.Background())
	return c
}

// Start announces this starter and begins to read its share of the partitions. ctx bounds the announcement alone.
func (c *Consumer) Start(ctx context.Context) error {
	if c.options.Handler == nil {
		return errors.New("start intake: no handler")
	}
	c.reconnects = c.js.Conn().Stats().Reconnects
	if err := c.announce(ctx); err != nil {
		return fmt.Errorf("start intake: %w", err)
	}
	c.shared = make(chan struct{})
	c.tasks.Add(1)
	go c.share(c.sharing)
	return nil
}

// Stop takes no more events, lets the running handlers finish until ctx ends, gives what is left back to JetStream and
// hands the partitions to the other starters. The error says that handlers had to be cut off.
func (c *Consumer) Stop(ctx context.Context) error {
	c.stop()
	done := make(chan struct{})
	go func() {
		c.tasks.Wait()
		close(done)
	}()
	c.stopOnce.Do(c.leave)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	select {
	case <-c.hurry:
	default:
		close(c.hurry)
	}
	c.mu.Unlock()
	select {
	case <-done:
	case <-time.After(2 * closeTimeout):
	}
	return fmt.Errorf("stop intake: handlers were cut off: %w", ctx.Err())
}

// leave takes this starter off the list, so that the others need not wait for its key to run out.
func (c *Consumer) leave() {
	if c.shared == nil {
		return
	}
	<-c.shared
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := removeKey(ctx, c.streams.starterLog, c.name, c.revision); err != nil {
		c.log.Warn("cannot take this starter off the list, its key runs out by itself", "error", err)
	}
}

// Partitions gives the partitions that this starter holds now, for metrics and tests.
func (c *Consumer) Partitions() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make([]int, 0, len(c.holdings))
	for n := range c.holdings {
		held = append(held, n)
	}
	return held
}

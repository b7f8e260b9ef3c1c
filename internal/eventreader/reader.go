package eventreader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

const (
	defaultMaxInFlight      = 256
	defaultMaxAckPending    = 2000
	defaultMaxConversations = 4096
	defaultMemoryLimit      = 128 << 20
	defaultAckWait          = 30 * time.Second
	// drainTimeout is how long running handlers may take when their partition moves to another starter.
	drainTimeout = 10 * time.Second
	// defaultCloseTimeout bounds one request that only tidies up.
	defaultCloseTimeout = time.Second
	// apiTimeout bounds one request to JetStream.
	apiTimeout = 5 * time.Second

	// Shares of MemoryLimit: a half for the events that are being handled, a quarter for the first events of queues that
	// wait for a slot, a quarter for deliveries that wait in the client.
	handledShare = 2
	keptShare    = 4
	pullShare    = 4
)

// Options configure a Reader.
type Options struct {
	Name    string // the instance id, different for every starter; random when empty
	Handler Handler
	// Full handles an event instead of Handler when its tenant holds too much of a stream that is nearly full: it answers the
	// event without its turn. nil: Handler handles every event.
	Full Handler
	// Announcement returns what the other starters can read about this one, under its name in the starters' bucket; a change is
	// announced within a twelfth of the StarterTTL. It must be quick. nil: the owner of its leases.
	Announcement func() string
	// Tenants returns the number of tenants that have bots. One alone may fill the stream; nil: there are others.
	Tenants          func() int
	MaxInFlight      int           // calls of the handler at a time; 256 when 0
	MaxAckPending    int           // events of a partition that JetStream delivers without an acknowledgement; 2,000 when 0
	MaxConversations int           // conversations of a tenant and partition in memory, the others stay parked; 4,096 when 0
	MemoryLimit      int64         // bytes of event bodies in memory; 128 MiB when 0
	SlowCall         time.Duration // a tenant whose calls take longer gets fewer of them at a time; never when 0
	AckWait          time.Duration // after this time without a sign JetStream delivers an event again; 30 s when 0
	Logger           *slog.Logger
	Hooks            Hooks

	closeTimeout time.Duration // of a request that only tidies up, for tests that count what it has done; 1 s when 0
}

// Hooks are called as events pass, for metrics. Any of them may be nil; all must be quick and safe for concurrent use.
type Hooks struct {
	Retried    func(tenant, kind string) // an event waits for its next try
	TakenOver  func()                    // an event was found that another reader had left
	DeadLetter func(reason string)       // the error code of a dead letter that was stored
}

// Reader calls its handler for the events of this starter's share of the partitions.
type Reader struct {
	js        jetstream.JetStream
	streams   bus.Streams
	options   Options
	letters   *bus.DeadLetters
	log       *slog.Logger
	name      string // key in the starters' bucket
	owner     string // value of our leases, different for every Reader
	scheduler *scheduler
	kept      memory
	retries   *retryLog
	backlog   atomic.Uint64
	excess    excess
	starters  atomic.Int64 // live ones, this one included

	sharing  context.Context // ends when Stop is called
	stop     context.CancelFunc
	abort    chan struct{} // closed when the context of Stop has ended
	stopOnce sync.Once
	shared   chan struct{} // rebalanceLoop has returned; nil before Start
	tasks    sync.WaitGroup

	mu          sync.Mutex
	assignments map[int]*assignment

	// Touched by rebalanceLoop, and by Stop after it.
	announced  time.Time
	announcing string // what was announced
	revision   uint64
	reconnects uint64
	fresh      freshBucket
}

// NewReader returns a new reader; it reads nothing before Start.
func NewReader(js jetstream.JetStream, s bus.Streams, o Options) *Reader {
	o = o.withDefaults()
	log := logger(o.Logger).With("starter", o.Name)
	r := &Reader{
		js: js, streams: s, options: o, letters: bus.NewDeadLetters(js, s), log: log,
		name:      schemas.ConversationToken(o.Name), // any name becomes a valid key
		owner:     o.Name + "/" + nuid.Next(),
		scheduler: newScheduler(o.MaxInFlight, o.MemoryLimit/handledShare, o.SlowCall),
		kept:      memory{limit: o.MemoryLimit / keptShare},
		retries:   newRetryLog(log, o.Hooks.Retried),
		abort:     make(chan struct{}), assignments: map[int]*assignment{},
	}
	r.sharing, r.stop = context.WithCancel(context.Background())
	return r
}

func (o Options) withDefaults() Options {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	if o.MaxAckPending <= 0 {
		o.MaxAckPending = defaultMaxAckPending
	}
	if o.MaxConversations <= 0 {
		o.MaxConversations = defaultMaxConversations
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = defaultMemoryLimit
	}
	if o.AckWait <= 0 {
		o.AckWait = defaultAckWait
	}
	if o.closeTimeout <= 0 {
		o.closeTimeout = defaultCloseTimeout
	}
	if o.Name == "" {
		o.Name = nuid.Next()
	}
	return o
}

// Start announces this starter and begins to read its share of the partitions. ctx bounds the announcement alone.
func (r *Reader) Start(ctx context.Context) error {
	if r.options.Handler == nil {
		return errors.New("start event reader: no handler")
	}
	r.reconnects = r.js.Conn().Stats().Reconnects
	if err := r.announce(ctx); err != nil {
		return fmt.Errorf("start event reader: %w", err)
	}
	r.shared = make(chan struct{})
	r.tasks.Add(1)
	go r.rebalanceLoop(r.sharing)
	r.tasks.Go(func() { r.watchRoom(r.sharing) })
	return nil
}

// Stop reads no more events, lets the running handlers finish until ctx ends, returns what is left to JetStream and
// releases the partitions for the other starters. The error reports that handlers had to be cut off.
func (r *Reader) Stop(ctx context.Context) error {
	r.stop()
	done := make(chan struct{})
	go func() {
		r.tasks.Wait()
		close(done)
	}()
	r.stopOnce.Do(r.leave)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	select {
	case <-r.abort:
	default:
		close(r.abort)
	}
	r.mu.Unlock()
	select {
	case <-done:
	case <-time.After(2 * r.options.closeTimeout):
	}
	return fmt.Errorf("stop event reader: handlers were cut off: %w", ctx.Err())
}

// leave removes this starter from the list, so that the others need not wait for its key to expire.
func (r *Reader) leave() {
	if r.shared == nil {
		return
	}
	<-r.shared
	ctx, cancel := context.WithTimeout(context.Background(), r.options.closeTimeout)
	defer cancel()
	if err := removeKey(ctx, r.streams.BucketLog(bus.BucketStarters), r.name, r.revision); err != nil {
		r.log.Warn("removing this starter from the list failed, its key expires", "error", err)
	}
}

// Partitions returns the partitions that this starter holds now, for metrics and tests.
func (r *Reader) Partitions() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := make([]int, 0, len(r.assignments))
	for n := range r.assignments {
		held = append(held, n)
	}
	return held
}

func logger(given *slog.Logger) *slog.Logger {
	if given == nil {
		return slog.New(slog.DiscardHandler)
	}
	return given
}

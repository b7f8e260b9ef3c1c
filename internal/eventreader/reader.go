package eventreader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/hookturn/hookturn/internal/bus"
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
	// apiTimeout bounds one request to JetStream.
	apiTimeout = 5 * time.Second
)

// Options say how events are taken in.
type Options struct {
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
	Received   func()                                  // an event is held for the first time
	Acked      func(result string, held time.Duration) // "ack" or "dead_letter", and how long it was held
	Released   func(n int)                             // held events were given up, for another reader
	Retried    func()                                  // an event could not be handled and waits
	TakenOver  func()                                  // an event was found that another reader had left
	DeadLetter func(reason string)                     // the failure word of a dead letter that was stored
	Handled    func(took time.Duration, o Outcome)     // one run of the handler
}

// Reader hands the events of this starter's share of the partitions to its handler.
type Reader struct {
	js      jetstream.JetStream
	streams bus.Streams
	options Options
	letters *bus.DeadLetters
	log     *slog.Logger
	name    string        // key in the starters' bucket
	owner   string        // value of our leases, different for every Reader
	slots   chan struct{} // one token for every handler that runs

	sharing  context.Context // ends when Stop is called
	stop     context.CancelFunc
	abort    chan struct{} // closed when Stop has run out of patience
	stopOnce sync.Once
	shared   chan struct{} // share has returned; nil before Start
	tasks    sync.WaitGroup

	mu          sync.Mutex
	assignments map[int]*assignment

	// Touched by share, and by Stop after it.
	announced  time.Time
	revision   uint64
	reconnects uint64
}

// NewReader returns a new reader; it reads nothing before Start.
func NewReader(js jetstream.JetStream, s bus.Streams, o Options) *Reader {
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
	r := &Reader{
		js: js, streams: s, options: o, letters: bus.NewDeadLetters(js, s),
		log:   logger(o.Logger).With("starter", o.Name),
		name:  schemas.ConversationToken(o.Name), // any name becomes a valid key
		owner: o.Name + "/" + nuid.Next(),
		slots: make(chan struct{}, o.MaxInFlight),
		abort: make(chan struct{}), assignments: map[int]*assignment{},
	}
	r.sharing, r.stop = context.WithCancel(context.Background())
	return r
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
	return nil
}

// Stop takes no more events, lets the running handlers finish until ctx ends, gives what is left back to JetStream and
// hands the partitions to the other starters. The error says that handlers had to be cut off.
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
	case <-time.After(2 * closeTimeout):
	}
	return fmt.Errorf("stop event reader: handlers were cut off: %w", ctx.Err())
}

// leave takes this starter off the list, so that the others need not wait for its key to run out.
func (r *Reader) leave() {
	if r.shared == nil {
		return
	}
	<-r.shared
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := removeKey(ctx, r.streams.StarterLog(), r.name, r.revision); err != nil {
		r.log.Warn("cannot take this starter off the list, its key runs out by itself", "error", err)
	}
}

// Partitions gives the partitions that this starter holds now, for metrics and tests.
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

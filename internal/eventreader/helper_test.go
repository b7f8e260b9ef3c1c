package eventreader

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const (
	soon = 3 * time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond

	// longLease is the StarterTTL of tests with one reader. A machine that stops for some seconds does not end a lease,
	// which would hand events that are being handled to a second handler.
	longLease = time.Minute
	// shortLease is the StarterTTL of tests in which leases expire or partitions move. The end of a lease at any time does
	// not fail them.
	shortLease = 6 * time.Second
)

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	return ctx
}

func startServer(t testing.TB) *server.Server {
	t.Helper()
	return startServerAt(t, server.RANDOM_PORT, t.TempDir())
}

func startServerAt(t testing.TB, port int, dir string) *server.Server {
	t.Helper()
	return natstest.Start(t, natstest.At(port, dir))
}

func connectTo(t testing.TB, s *server.Server) jetstream.JetStream {
	t.Helper()
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return js
}

// setup starts a server with streams and a connection to it. Leases are long unless o has another StarterTTL.
func setup(t testing.TB, o bus.StreamOptions) (*server.Server, jetstream.JetStream, bus.Streams) {
	t.Helper()
	s := startServer(t)
	js := connectTo(t, s)
	if o.StarterTTL == 0 {
		o.StarterTTL = longLease
	}
	streams, err := bus.Setup(testContext(t), js, o)
	require.NoError(t, err)
	return s, js, streams
}

func startReader(t testing.TB, js jetstream.JetStream, s bus.Streams, o Options) *Reader {
	t.Helper()
	if os.Getenv("READER_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c := NewReader(js, s, o)
	require.NoError(t, c.Start(testContext(t)))
	t.Cleanup(func() { stopReader(t, c) })
	return c
}

func stopReader(t testing.TB, c *Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	require.NoError(t, c.Stop(ctx))
}

// notify sends without waiting: a handler that runs once more than a test receives must still return.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func publish(t *testing.T, js jetstream.JetStream, conversation string, n int) uint64 {
	t.Helper()
	seq, _, err := bus.NewPublisher(js).PublishEvent(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation(conversation),
		fmt.Appendf(nil, "%d", n), fmt.Sprintf("%s-%d", conversation, n), nil)
	require.NoError(t, err)
	return seq
}

// publishAll publishes events in turn to several conversations; it may run beside the test.
func publishAll(ctx context.Context, js jetstream.JetStream, conversations, events int) error {
	for n := range events {
		for i := range conversations {
			conversation := fmt.Sprintf("c-%d", i)
			_, _, err := bus.NewPublisher(js).PublishEvent(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation(conversation),
				fmt.Appendf(nil, "%d", n), fmt.Sprintf("%s-%d", conversation, n), nil)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// publishRaw publishes past our own publisher, as another engine would.
func publishRaw(t *testing.T, js jetstream.JetStream, m *nats.Msg) uint64 {
	t.Helper()
	unguarded, err := jetstream.New(js.Conn(), jetstream.WithDefaultTimeout(soon))
	require.NoError(t, err)
	stored, err := unguarded.PublishMsg(testContext(t), m)
	require.NoError(t, err)
	return stored.Sequence
}

func eventsLeft(t *testing.T, s bus.Streams) uint64 {
	t.Helper()
	info, err := s.Events().Info(testContext(t))
	require.NoError(t, err)
	return info.State.Msgs
}

// requireEmpty waits until the stream is empty. A request that a restart of the server has swallowed is sent again.
func requireEmpty(t *testing.T, s bus.Streams) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		info, err := s.Events().Info(ctx)
		return err == nil && info.State.Msgs == 0
	}, soon, poll, "events are left in the stream")
}

// ledger notes what handlers saw.
type ledger struct {
	mu   sync.Mutex
	seen map[string][]uint64 // sequences by conversation, every run
	runs map[uint64]int
}

func newLedger() *ledger { return &ledger{seen: map[string][]uint64{}, runs: map[uint64]int{}} }

func (l *ledger) note(m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[m.Conversation] = append(l.seen[m.Conversation], m.Sequence)
	l.runs[m.Sequence]++
}

// handle is a handler that notes every event and is content.
func (l *ledger) handle(_ context.Context, m *Message) Outcome {
	l.note(m)
	return Ack()
}

func (l *ledger) count(conversation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen[conversation])
}

func (l *ledger) distinct() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}

// requireOrder checks that the first run of every event came in sequence within its conversation.
func (l *ledger) requireOrder(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for conversation, sequences := range l.seen {
		first := map[uint64]bool{}
		var last uint64
		for _, seq := range sequences {
			if !first[seq] {
				require.Greater(t, seq, last, "conversation %s ran out of order: %v", conversation, sequences)
				first[seq], last = true, seq
			}
		}
	}
}

func letterCount(t *testing.T, d *bus.DeadLetters) int {
	t.Helper()
	letters, err := d.List(testContext(t), bus.DeadLetterFilter{})
	require.NoError(t, err)
	return len(letters)
}

func onlyLetter(t *testing.T, d *bus.DeadLetters) bus.DeadLetter {
	t.Helper()
	require.Eventually(t, func() bool { return letterCount(t, d) == 1 }, soon, poll)
	letters, err := d.List(testContext(t), bus.DeadLetterFilter{})
	require.NoError(t, err)
	letter, err := d.Show(testContext(t), letters[0].Sequence)
	require.NoError(t, err)
	return letter
}

const eventRoot = schemas.SubjectEvents + "."

// deliveries returns how often a pending event was delivered, 0 when it is not pending.
func (p *partition) deliveries(seq uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, d := range p.pending {
		if id.Sequence == seq {
			return d.count
		}
	}
	return 0
}

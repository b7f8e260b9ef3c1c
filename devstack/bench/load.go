package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// replyTimeout is how long the load waits for one reply before it gives the run up.
const replyTimeout = 60 * time.Second

// load publishes events and waits for their replies, as a bot engine does. It checks that every event gets one reply, in its
// own conversation.
type load struct {
	js        jetstream.JetStream
	publisher *bus.Publisher
	bot       schemas.BotID
	patience  time.Duration // with one reply
	arrived   func(event string) (time.Time, bool)
	stages    atomic.Pointer[stages] // of the steps of bot; nil: not measured
	waiting   sync.Map               // event id to *awaited
	closing   sync.Map               // conversation to chan struct{}, closed when the conversation is
	answered  sync.Map               // event id to struct{}

	mu       sync.Mutex
	problem  error             // the first reply that must not be
	repeated map[string]string // events whose reply was published more than once, and its subject
}

// awaited is the reply that an event is due.
type awaited struct {
	conversation string
	outcome      chan schemas.Outcome
}

func newLoad(nc *nats.Conn, js jetstream.JetStream) (*load, error) {
	l := &load{
		js: js, publisher: bus.NewPublisher(js), bot: schemas.BotID{Tenant: "default", Bot: "bench"}, patience: replyTimeout,
		repeated: map[string]string{},
	}
	_, err := nc.Subscribe(schemas.SubjectReplies+".>", l.receive) // ends with the connection
	return l, err
}

// reply is what the load reads of one.
type reply struct {
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Data    struct {
		EventID string          `json:"event_id"`
		Outcome schemas.Outcome `json:"outcome"`
	} `json:"data"`
}

// receive takes one reply.
func (l *load) receive(m *nats.Msg) {
	var reply reply
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		l.report(fmt.Errorf("invalid reply on %s: %w", m.Subject, err))
		return
	}
	switch reply.Type {
	case schemas.TypeConversationClosed:
		if ch, ok := l.closing.LoadAndDelete(reply.Subject); ok {
			closed, _ := ch.(chan struct{}) // nothing else is stored
			close(closed)
		}
	case schemas.TypeStepReplied:
		id := reply.Data.EventID
		found, ok := l.waiting.LoadAndDelete(id)
		if !ok {
			if _, again := l.answered.Load(id); again {
				l.suspect(id, m.Subject)
			}
			return
		}
		l.answered.Store(id, struct{}{})
		due, _ := found.(*awaited) // nothing else is stored
		if due.conversation != reply.Subject {
			l.report(fmt.Errorf("event %s of conversation %s was answered in %s", id, due.conversation, reply.Subject))
		}
		due.outcome <- reply.Data.Outcome
	}
}

func (l *load) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem == nil {
		l.problem = err
	}
}

// suspect notes an event whose reply was published again: a worker that gets no acknowledgement in time publishes it until
// it has one, and JetStream drops what it has. The load receives both: it subscribes to subjects, and does not read the
// stream.
func (l *load) suspect(id, subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeated[id] = subject
}

// check returns an error for the first reply that must not be: the stream has more than one reply to an event, or one went
// to another conversation.
func (l *load) check(ctx context.Context) error {
	if err := l.firstProblem(); err != nil {
		return err
	}
	l.mu.Lock()
	repeated := maps.Clone(l.repeated)
	l.mu.Unlock()
	stored := map[string]int{}
	for _, subject := range slices.Compact(slices.Sorted(maps.Values(repeated))) {
		err := natsclient.ReadStored(ctx, l.js, schemas.StreamReplies, subject, func(m *jetstream.RawStreamMsg) error {
			var r reply
			if err := json.Unmarshal(m.Data, &r); err != nil || r.Type != schemas.TypeStepReplied {
				return err
			}
			stored[r.Data.EventID]++
			return nil
		})
		if err != nil {
			return fmt.Errorf("count the stored replies: %w", err)
		}
	}
	for id, subject := range repeated {
		if stored[id] > 1 {
			return fmt.Errorf("event %s was answered twice: the stream has %d replies to it under %s", id, stored[id], subject)
		}
	}
	return nil
}

func (l *load) firstProblem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// awaitClose returns a channel that is closed when a conversation is.
func (l *load) awaitClose(conversation string) <-chan struct{} {
	closed := make(chan struct{})
	l.closing.Store(conversation, closed)
	return closed
}

// step runs one step from NATS to NATS and returns how long it took.
func (l *load) step(ctx context.Context, conversation, step string) (time.Duration, error) {
	return l.stepTo(ctx, l.bot, conversation, step, schemas.OutcomeSuccess)
}

// stepTo runs a step of a bot that must end with an outcome.
func (l *load) stepTo(ctx context.Context, bot schemas.BotID, conversation, step string, want schemas.Outcome,
) (time.Duration, error) {
	if err := l.firstProblem(); err != nil {
		return 0, err
	}
	id := uuid.NewString()
	due := &awaited{conversation: conversation, outcome: make(chan schemas.Outcome, 1)}
	l.waiting.Store(id, due)
	event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/bench","type":%q,"time":%q,"subject":%q,`+
		`"datacontenttype":"application/json","data":{"step":%q,"user":{"language":"en"},"entities":{"product_name":`+
		`[{"detection":"message","original_text":"speaker","entity_value":"speaker"}]}}}`,
		id, schemas.TypeStepRequested, time.Now().UTC().Format(time.RFC3339Nano), conversation, step)
	started := time.Now()
	if _, _, err := l.publisher.PublishEvent(ctx, bot.WithConversation(conversation), event, id, nil); err != nil {
		return 0, err
	}
	stored := time.Now()
	outcome, err := waitFor(ctx, l.patience, due.outcome, "reply to event "+id+" of conversation "+conversation)
	if err != nil {
		return 0, err
	}
	if outcome != want {
		return 0, fmt.Errorf("event %s of conversation %s ended as %s, not as %s", id, conversation, outcome, want)
	}
	ended := time.Now()
	if at, ok := l.arrived(id); ok && bot == l.bot {
		l.stages.Load().add(stored.Sub(started), at.Sub(stored), ended.Sub(at))
	}
	return ended.Sub(started), nil
}

// waitFor waits for a channel; the error names what did not come in time.
func waitFor[T any](ctx context.Context, patience time.Duration, ch <-chan T, what string) (value T, err error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case value = <-ch:
		return value, nil
	case <-timeout.C:
		return value, fmt.Errorf("no %s within %s", what, patience)
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// open runs one step in every conversation.
func (l *load) open(ctx context.Context, prefix string, w row) (measurement, error) {
	w.inFlight = min(inFlightMany, w.conversations)
	return l.steps(ctx, prefix, w, w.conversations)
}

// steps runs a number of steps in the row's conversations by turns.
func (l *load) steps(ctx context.Context, prefix string, w row, number int) (measurement, error) {
	var all recorder
	all.begin()
	err := drive(w.inFlight, func(n int) bool { return n < number }, l.turns(ctx, prefix, w), all.add)
	return all.end(), err
}

// turns is the n-th step of a row: in each of its conversations by turns.
func (l *load) turns(ctx context.Context, prefix string, w row) func(n int) error {
	return func(n int) error {
		_, err := l.step(ctx, fmt.Sprintf("%s-%d", prefix, n%w.conversations), w.step)
		return err
	}
}

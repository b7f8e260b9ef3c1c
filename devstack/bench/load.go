package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// replyTimeout is how long the load waits for one reply before it gives the run up.
const replyTimeout = 60 * time.Second

// load publishes events and waits for their replies, as a bot engine does. It checks that every event gets one reply, in its
// own conversation.
type load struct {
	publisher *bus.Publisher
	bot       schemas.BotID
	patience  time.Duration // with one reply
	waiting   sync.Map      // event id to *awaited
	closing   sync.Map      // conversation to chan struct{}, closed when the conversation is
	answered  sync.Map      // event id to struct{}

	mu      sync.Mutex
	problem error // the first reply that must not be
}

// awaited is the reply that an event is due.
type awaited struct {
	conversation string
	outcome      chan schemas.Outcome
}

func newLoad(nc *nats.Conn, js jetstream.JetStream) (*load, error) {
	l := &load{publisher: bus.NewPublisher(js), bot: schemas.BotID{Tenant: "default", Bot: "bench"}, patience: replyTimeout}
	_, err := nc.Subscribe(schemas.SubjectReplies+".>", l.receive) // ends with the connection
	return l, err
}

// receive takes one reply.
func (l *load) receive(m *nats.Msg) {
	var reply struct {
		Type    string `json:"type"`
		Subject string `json:"subject"`
		Data    struct {
			EventID string          `json:"event_id"`
			Outcome schemas.Outcome `json:"outcome"`
		} `json:"data"`
	}
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
			if _, twice := l.answered.Load(id); twice {
				l.report(fmt.Errorf("event %s of conversation %s was answered twice", id, reply.Subject))
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
	outcome, err := waitFor(ctx, l.patience, due.outcome, "reply to event "+id+" of conversation "+conversation)
	if err != nil {
		return 0, err
	}
	if outcome != want {
		return 0, fmt.Errorf("event %s of conversation %s ended as %s, not as %s", id, conversation, outcome, want)
	}
	return time.Since(started), nil
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

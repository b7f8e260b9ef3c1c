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

// load publishes events and waits for their replies, as a bot engine does.
type load struct {
	publisher *bus.Publisher
	waiting   sync.Map // event id to chan outcome
}

func newLoad(nc *nats.Conn, js jetstream.JetStream) (*load, error) {
	l := &load{publisher: bus.NewPublisher(js)}
	_, err := nc.Subscribe(schemas.SubjectReplies+".>", func(m *nats.Msg) { // ends with the connection
		var reply struct {
			Data struct {
				EventID string          `json:"event_id"`
				Outcome schemas.Outcome `json:"outcome"`
			} `json:"data"`
		}
		if json.Unmarshal(m.Data, &reply) != nil {
			return
		}
		if ch, ok := l.waiting.LoadAndDelete(reply.Data.EventID); ok {
			done, _ := ch.(chan schemas.Outcome) // nothing else is stored
			done <- reply.Data.Outcome
		}
	})
	return l, err
}

// step runs one step from NATS to NATS and returns how long it took.
func (l *load) step(ctx context.Context, conversation, step string) (time.Duration, error) {
	return l.stepTo(ctx, conversation, step, schemas.OutcomeSuccess)
}

// stepTo runs a step that must end with an outcome.
func (l *load) stepTo(ctx context.Context, conversation, step string, want schemas.Outcome) (time.Duration, error) {
	id := uuid.NewString()
	done := make(chan schemas.Outcome, 1)
	l.waiting.Store(id, done)
	event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/bench","type":%q,"time":%q,"subject":%q,`+
		`"datacontenttype":"application/json","data":{"step":%q,"user":{"language":"en"},"entities":{"product_name":`+
		`[{"detection":"message","original_text":"speaker","entity_value":"speaker"}]}}}`,
		id, schemas.TypeStepRequested, time.Now().UTC().Format(time.RFC3339Nano), conversation, step)
	started := time.Now()
	if _, _, err := l.publisher.PublishEvent(ctx, schemas.BotID{Tenant: "default",
		Bot: "bench"}.WithConversation(conversation), event, id, nil); err != nil {
		return 0, err
	}
	timeout := time.NewTimer(replyTimeout)
	defer timeout.Stop()
	select {
	case outcome := <-done:
		if outcome != want {
			return 0, fmt.Errorf("step ended as %s, not as %s", outcome, want)
		}
		return time.Since(started), nil
	case <-timeout.C:
		return 0, fmt.Errorf("no reply to %s within %s", id, replyTimeout)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// open runs one step in every conversation.
func (l *load) open(ctx context.Context, prefix string, w row) (measurement, error) {
	w.inFlight = min(64, w.conversations)
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

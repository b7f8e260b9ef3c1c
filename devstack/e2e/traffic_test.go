package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// traffic is what an engine sends, and which of it has its end. Events of different conversations may have one id.
type traffic struct {
	engine *engine

	mu    sync.Mutex
	made  map[string]time.Time // when an event was made, by its key: what is published again is the same document
	sent  []invariants.Event
	await map[string]chan struct{} // by the event's key; closed when the event has its end
}

func newTraffic(e *engine) *traffic {
	return &traffic{engine: e, await: map[string]chan struct{}{}, made: map[string]time.Time{}}
}

// send publishes an event whose terminal reply is due. The channel is closed when it has come.
func (m *traffic) send(t testing.TB, e invariants.Event, eventType, data string) chan struct{} {
	t.Helper()
	end := make(chan struct{})
	m.mu.Lock()
	m.await[e.Key()] = end
	m.sent = append(m.sent, e)
	m.mu.Unlock()
	m.publish(t, e, eventType, data)
	return end
}

// publish stores an event, and tries again for as long as the test waits: the stream keeps one of it.
func (m *traffic) publish(t testing.TB, e invariants.Event, eventType, data string) {
	t.Helper()
	m.mu.Lock()
	made, known := m.made[e.Key()]
	if !known {
		made = time.Now().UTC()
		m.made[e.Key()] = made
	}
	m.mu.Unlock()
	msg := nats.NewMsg("hookturn.events." + e.Tenant + "." + e.Bot + "." + e.Conversation) // conversations of tests are tokens
	msg.Header.Set("Nats-Msg-Id", e.Key())
	msg.Data = fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/engines/e2e","type":%q,"time":%q,"subject":%q,"data":%s}`,
		e.ID, eventType, made.Format(time.RFC3339Nano), e.Conversation, data)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 3*time.Second)
		_, err := m.engine.operator.PublishMsg(attempt, msg)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			if t.Context().Err() == nil {
				t.Errorf("event %s was not accepted: %v", e.Key(), err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// endsWithin is how long an event may take until it has ended. A background queue is worked off one request after another:
// while a load keeps all cores busy, the last of a hundred takes two minutes.
const endsWithin = 10 * time.Minute

func (m *traffic) wait(t testing.TB, what string, end chan struct{}) {
	t.Helper()
	select {
	case <-end:
	case <-t.Context().Done():
	case <-time.After(endsWithin):
		t.Errorf("%s has no end", what)
	}
}

// waitAll waits for the ends that have not come.
func (m *traffic) waitAll(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	all := maps.Clone(m.await)
	m.mu.Unlock()
	for key, end := range all {
		m.wait(t, key, end)
	}
}

// follow closes the channel of every event whose reply has come, until stop is called.
func (m *traffic) follow(t testing.TB) (stop func()) {
	t.Helper()
	ended, followed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(followed)
		for read := 0; ; {
			m.engine.mu.Lock()
			fresh, changed := m.engine.replies[read:], m.engine.changed
			m.engine.mu.Unlock()
			read += len(fresh)
			for _, r := range fresh {
				m.note(r)
			}
			select {
			case <-changed:
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-followed
	}
}

// note takes a reply. The end of a background step is its late reply.
func (m *traffic) note(r schemas.Reply) {
	if r.Type != schemas.TypeStepReplied && r.Type != schemas.TypeStepLate {
		return
	}
	var data schemas.StepReplied
	if json.Unmarshal(r.Data, &data) != nil || data.Outcome == schemas.OutcomeAccepted {
		return
	}
	key := r.Source[len("/hookturn/"):] + "/" + r.Subject + "/" + data.EventID
	m.mu.Lock()
	defer m.mu.Unlock()
	if end, ok := m.await[key]; ok {
		delete(m.await, key)
		close(end)
	}
}

// all returns the replies so far.
func (e *engine) all() []schemas.Reply {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clip(e.replies)
}

// deadLetters reads the dead letters that are stored.
func (e *engine) deadLetters(t testing.TB) (all []invariants.DeadLetter) {
	t.Helper()
	letters := bus.NewDeadLetters(e.operator, streamsOf(t, e.operator))
	retried(t, func(ctx context.Context) (err error) {
		all, err = readDeadLetters(ctx, letters, bus.DeadLetterFilter{Limit: 1000})
		return err
	})
	return all
}

// readDeadLetters reads dead letters with their payloads.
func readDeadLetters(
	ctx context.Context, letters *bus.DeadLetters, filter bus.DeadLetterFilter,
) (all []invariants.DeadLetter, err error) {
	list, err := letters.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		letter, err := letters.Show(ctx, l.Sequence)
		if err != nil {
			return nil, err
		}
		all = append(all, invariants.DeadLetter{BotID: letter.BotID, Data: letter.Data})
	}
	return all, nil
}

// eventMark matches what invariants.EventMark adds to an event: tenant, bot, conversation and id.
var eventMark = regexp.MustCompile(`event-key:[^;]*;`)

// distinct counts requests for events with an invariants.EventMark. One that a worker has repeated for another counts once.
func distinct(requests []endpoint.Entry) int {
	seen := map[string]bool{}
	for _, r := range requests {
		seen[r.Path+" "+r.WebhookID+" "+string(eventMark.Find(r.Body))] = true
	}
	return len(seen)
}

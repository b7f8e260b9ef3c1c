package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// patience bounds every wait for something that must come, and for the next reply where many must.
const patience = 60 * time.Second

// engine is a bot engine: it publishes events with the rights of one, and keeps every reply that JetStream stored, in
// stream order. What an engine cannot see, such as the replies of other tenants, it sees as the operator.
type engine struct {
	js        bus.JetStream // of the engine's own user
	operator  bus.JetStream
	publisher *bus.Publisher

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with every reply
	replies []schemas.Reply
	headers []nats.Header
}

// newEngine connects to NATS and reads replies until the test ends.
func newEngine(t testing.TB, natsURL string) *engine {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	nc, js, err := bus.Connect(ctx, natsclient.Login{URL: userURL(natsURL, servers.Engine)}, "e2e", nil)
	require.NoError(t, err)
	seer, operator, err := bus.Connect(ctx, natsclient.Login{
		URL: userURL(natsURL, permissions.Operator), InboxPrefix: permissions.InboxPrefix(permissions.Operator),
	}, "e2e", nil)
	require.NoError(t, err)
	streams := streamsOf(t, operator)
	e := &engine{js: js, operator: operator, publisher: bus.NewPublisher(js), changed: make(chan struct{})}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- bus.NewReplies(streams).Follow(ctx, bus.Tail{Since: time.Unix(1, 0)}, func() { close(ready) }, e.keep)
	}()
	select {
	case <-ready:
	case err := <-done:
		require.NoError(t, err, "reading replies")
	}
	t.Cleanup(func() {
		cancel()
		<-done
		nc.Close()
		seer.Close()
	})
	return e
}

func (e *engine) keep(r bus.StoredReply) error {
	var reply schemas.Reply
	if err := json.Unmarshal(r.Data, &reply); err != nil {
		return fmt.Errorf("reply %d: %w", r.Sequence, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.replies, e.headers = append(e.replies, reply), append(e.headers, r.Header)
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

// of lists the replies of a conversation of a bot so far, in order.
func (e *engine) of(bot, conversation string) []schemas.Reply {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.replies), func(r schemas.Reply) bool {
		return r.Subject != conversation || r.Source != "/hookturn/default/"+bot
	})
}

// await waits until a condition over the replies holds, as long as replies keep coming.
func (e *engine) await(holds func() bool) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		timeout.Reset(patience)
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		if holds() {
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return fmt.Errorf("it did not come within %s", patience)
		}
	}
}

// replied waits for n step.replied of a conversation and returns their data in order.
func (e *engine) replied(t testing.TB, bot, conversation string, n int) []schemas.StepReplied {
	t.Helper()
	var data []schemas.StepReplied
	err := e.await(func() bool {
		data = nil
		for _, r := range e.of(bot, conversation) {
			if r.Type == schemas.TypeStepReplied {
				var d schemas.StepReplied
				require.NoError(t, json.Unmarshal(r.Data, &d))
				data = append(data, d)
			}
		}
		return len(data) >= n
	})
	require.NoError(t, err, "%d of %d replies of %s/%s", len(data), n, bot, conversation)
	return data
}

// errorOf returns what failed in a step. A reply without an error fails the test and is shown: a nil pointer would end all
// tests of the package.
func errorOf(t testing.TB, r schemas.StepReplied) schemas.Error {
	t.Helper()
	if r.Error == nil {
		t.Fatalf("the step did not fail: %+v", r)
	}
	return *r.Error
}

// requireKind requires that a step failed with an error code.
func requireKind(t testing.TB, kind string, r schemas.StepReplied) {
	t.Helper()
	failed := errorOf(t, r)
	require.Equal(t, kind, failed.Kind, "%+v in %+v", failed, r)
}

// request publishes step.requested and returns the event's id.
func (e *engine) request(t testing.TB, bot, conversation, step string) string {
	t.Helper()
	id := uuid.NewString()
	e.publish(t, bot, conversation, id, schemas.TypeStepRequested, fmt.Sprintf(`{"step":%q}`, step))
	return id
}

func (e *engine) publish(t testing.TB, bot, conversation, id, eventType, data string) {
	t.Helper()
	require.NoError(t, e.send(bot, conversation, id, eventType, data, nil))
}

func (e *engine) send(bot, conversation, id, eventType, data string, header nats.Header) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/engines/e2e","type":%q,"time":%q,"subject":%q,"data":%s}`,
		id, eventType, time.Now().UTC().Format(time.RFC3339Nano), conversation, data)
	_, _, err := e.publisher.PublishEvent(ctx, schemas.BotID{Tenant: "default", Bot: bot}.WithConversation(conversation), event, id, header)
	return err
}

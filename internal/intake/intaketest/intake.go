// Package intaketest has what tests of the way of an event to its run need: events, and a Temporal and a NATS that they
// script.
package intaketest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/answer"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/recovery"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Ordered is a bot with conversations, Unordered one without, and Scripted one whose step is a script.
const (
	Ordered = `bot: shop
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders}}}
`
	Scripted = `bot: lab
base_urls: {test: "https://shop.example"}
steps: {ORDER: {code: {file: main.py}}}
`
	Unordered = `bot: free
ordering: none
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders}}}
`
)

// bots are the bot files of a test.
type bots struct{ set *bot.Set }

func (b bots) Current() *bot.Set { return b.set }

// Setup returns an intake with the bots of this package, with its dispatcher and its recovery, and their Temporal.
func Setup(t *testing.T) (*intake.Intake, *mocks.Client) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(Ordered), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "free.yaml"), []byte(Unordered), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(Scripted), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.py"), []byte("def main(event): return event"), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	c, log := mocks.NewClient(t), slog.New(slog.DiscardHandler)
	answers := &answer.Answers{Replies: &Replies{}, Log: log}
	dispatcher := &dispatch.Dispatcher{Temporal: c, Queue: step.QueueMain, Answers: answers, Log: log}
	dispatcher.Recovery = &recovery.Recovery{
		Temporal: c, Queue: step.QueueMain, Dispatcher: dispatcher, Answers: answers, Log: log,
	}
	in := &intake.Intake{Dispatcher: dispatcher, Answers: answers, Log: log}
	SetBots(in, set)
	return in, c
}

// SetBots replaces the bots.
func SetBots(in *intake.Intake, set *bot.Set) {
	in.Bots, in.Dispatcher.Bots = bots{set}, bots{set}
}

// Replies are the replies that a starter has published itself.
type Replies struct {
	Published []schemas.Reply
	Fail      error
	Lost      error     // why replies cannot be read
	Since     time.Time // of the latest search
}

// Publish implements answer.Replies.
func (r *Replies) Publish(_ context.Context, _ schemas.BotID, reply schemas.Reply) (*schemas.Reply, error) {
	if r.Fail == nil {
		r.Published = append(r.Published, reply)
	}
	return nil, r.Fail
}

// Find implements answer.Replies.
func (r *Replies) Find(
	_ context.Context, _ schemas.ConversationKey, id string, since time.Time,
) (*schemas.Reply, error) {
	r.Since = since
	for _, reply := range r.Published {
		if reply.ID == id {
			return &reply, r.Lost
		}
	}
	return nil, r.Lost
}

// Message returns the message, stored now, of a new event.
func Message(botName, eventType, data string, id ...string) *eventreader.Message {
	return MessageOf(time.Now(), botName, eventType, data, id...)
}

// MessageOf returns the message, stored now, of an event that the engine made at a time.
func MessageOf(at time.Time, botName, eventType, data string, id ...string) *eventreader.Message {
	return &eventreader.Message{
		BotID: schemas.BotID{Tenant: "default", Bot: botName}, Conversation: "c-42", Header: nats.Header{}, Received: time.Now(),
		Data: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":%q,"time":%q,`+
			`"subject":"c-42","data":%s}`, append(id, "e1")[0], eventType, at.Format(time.RFC3339Nano), data),
	}
}

// Requested returns the message of a new event that asks for a step.
func Requested(botName string) *eventreader.Message {
	return Message(botName, schemas.TypeStepRequested, `{"step":"ORDER"}`)
}

// RequireOutcome fails a test unless an outcome is a dead letter with a reason, a retry, or an acknowledgement.
func RequireOutcome(t *testing.T, o eventreader.Outcome, letter fault.Kind, again bool) {
	t.Helper()
	require.Equal(t, letter, o.Reason())
	switch {
	case letter != "":
		require.Equal(t, "dead_letter", o.Result())
	case again:
		require.Equal(t, "retry", o.Result())
	default:
		require.Equal(t, "ack", o.Result())
	}
}

// Again returns the first delivery of an event that was made a while ago: the engine publishes it again, and JetStream has
// lost its table of ids.
func Again(id string) *eventreader.Message {
	return MessageOf(time.Now().Add(-time.Hour), "shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)
}

// RepliedTo returns the stored reply to the event e1 of a bot.
func RepliedTo(t *testing.T, botName string) schemas.Reply {
	t.Helper()
	key := schemas.BotID{Tenant: "default", Bot: botName}.WithConversation("c-42")
	reply, err := schemas.NewReply(key, "e1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e1"})
	require.NoError(t, err)
	return reply
}

// Recalled is what runs have published.
type Recalled struct {
	Replies []schemas.Reply
	Lost    bool
	Err     error
	Asked   []string // runs
}

// Published implements intake.Recall.
func (r *Recalled) Published(_ context.Context, _ schemas.BotID, _, runID, _ string) ([]schemas.Reply, bool, error) {
	r.Asked = append(r.Asked, runID)
	return r.Replies, r.Lost, r.Err
}

// Redelivered returns the second delivery of an event.
func Redelivered() *eventreader.Message {
	m := Requested("shop")
	m.Deliveries = 2
	return m
}

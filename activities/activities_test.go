package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// bundle is the activities around fakes: an endpoint, a user store, a publisher.
type bundle struct {
	*testsuite.TestActivityEnvironment

	activities *activities.Activities

	mu       sync.Mutex
	requests []egress.Request
	hold     func(ctx context.Context) error // what a request waits for
	answer   func(n int) (*egress.Response, error)
	users    map[string]json.RawMessage
	broken   error // of the user store
	hang     bool  // the user store does not answer
	publish  func(schemas.Reply) error
	bots     *bot.Set
	local    bool // run CallWebhook as a local activity

	stored *schemas.Reply // what PublishReply finds stored already
	found  *schemas.Reply // what Find finds
	since  time.Time      // from when Find last looked
	lost   error          // why it finds nothing
	looked int            // how often it was asked
	fences []int64        // of the writes to the user store
	writer string         // of the latest one
	events int            // made by input: every step has one of its own

	tokens tokens
	queue  queue
	woken  []step.Queue
	begun  []step.Queue // started unless they run
	asleep error        // why the queue's workflow cannot be woken

	patience time.Duration // of the latest search for a reply

	beats []step.Progress   // heartbeats whose storing was waited for
	beat  func(n int) error // what becomes of the n-th of them, from 1; nil: they are stored
}

const botFile = `bot: shop
base_urls: {test: "https://shop.example"}
secrets:
  key: {env: KEY}
  rotated: [{env: NEW}, {env: OLD}]
  bearer: {env: BEARER}
steps:
  SIGNED: {webhook: {path: /orders, secret: key}}
  ROTATED: {webhook: {path: /orders, secret: rotated, signature: [standard, hub-sha256]}}
  BEARER: {webhook: {path: /orders, authorization: {secret: bearer}, headers: {X-Shop: "1"}}}
  PLAIN: {webhook: {path: /orders, retry: {max_attempts: 3, initial: 1s, max: 10s, backoff: 2}}}
  ONCE: {webhook: {path: /orders?step=once, retry: {max_attempts: 1}, limits: {trip_after: 1}}}
  LATE: {webhook: {path: /orders, attempt_timeout: 30s, timeout: 30s, late_answer: publish}}
  DEFER: {webhook: {dialect: plain, path: /later}}
  NOTIFY: {webhook: {dialect: loyjoy, path: /notify, mode: background}}
  OAUTH:
    webhook:
      dialect: plain
      path: /orders
      oauth2: {token_url: "https://login.example/token", client_id: shop, secret: key}
      retry: {max_attempts: 3}
`

func setup(t *testing.T) *bundle {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(botFile), 0o600))
	env := map[string]string{"KEY": "hunter2", "NEW": "new secret", "OLD": "old secret", "BEARER": "Bearer token"}
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	require.NoError(t, err)
	var suite testsuite.WorkflowTestSuite
	b := &bundle{TestActivityEnvironment: suite.NewTestActivityEnvironment().SetTestTimeout(time.Minute), users: map[string]json.RawMessage{}, bots: set}
	a := &activities.Activities{
		Bots: b, Dialects: dialects.New(nil), HTTP: b, Limits: &limit.Limiter{},
		Tokens: &b.tokens, Users: b, Publisher: b, Queues: &b.queue, Log: slog.New(slog.DiscardHandler),
		Heartbeat:  b.heartbeat,
		Wake:       func(_ context.Context, q step.Queue) error { b.woken = append(b.woken, q); return b.asleep },
		StartQueue: func(_ context.Context, q step.Queue) error { b.begun = append(b.begun, q); return b.asleep },
	}
	a.Register(b.TestActivityEnvironment)
	b.activities = a
	return b
}

// Secrets knows one revision of each bot.
func (b *bundle) Secrets(id schemas.BotID, _, name string) ([]secret.Value, error) {
	if shop, ok := b.bots.Bot(id); ok {
		if values, ok := shop.Secrets(name); ok {
			return values, nil
		}
	}
	return nil, errors.New("not here yet")
}

func (b *bundle) Do(ctx context.Context, r egress.Request) (*egress.Response, schemas.Attempt, error) {
	b.mu.Lock()
	b.requests = append(b.requests, r)
	b.mu.Unlock()
	if b.hold != nil {
		if f := b.hold(ctx); f != nil {
			return nil, schemas.Attempt{}, f
		}
	}
	if b.answer == nil {
		return response(http.StatusOK, `{"response":["ok"]}`), schemas.Attempt{Status: 200}, nil
	}
	resp, err := b.answer(len(b.requests))
	var attempt schemas.Attempt
	if resp != nil {
		attempt.Status = resp.Status
	}
	return resp, attempt, err
}

func (b *bundle) Publish(_ context.Context, _ schemas.BotID, r schemas.Reply) (*schemas.Reply, error) {
	return b.stored, b.publish(r)
}

func (b *bundle) Find(ctx context.Context, _ schemas.ConversationKey, id string, since time.Time,
) (*schemas.Reply, error) {
	b.looked++
	until, _ := ctx.Deadline()
	b.patience = time.Until(until)
	b.since = since
	if b.found != nil && b.found.ID != id {
		return nil, b.lost
	}
	return b.found, b.lost
}

func (b *bundle) input(t *testing.T, name string) step.WebhookInput {
	t.Helper()
	shop, ok := b.bots.Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	require.True(t, ok)
	plan, err := shop.Plan(name)
	require.NoError(t, err)
	b.events++
	return step.WebhookInput{
		Plan: plan, User: schemas.User{ID: "91"}, Deadline: time.Now().Add(30 * time.Second),
		Event: schemas.Event{ID: fmt.Sprintf("e%d", b.events), TraceParent: "00-1-2-01", TraceState: "a=b"},
	}
}

func (b *bundle) call(in step.WebhookInput) (step.WebhookResult, error) {
	execute := func() (converter.EncodedValue, error) { return b.ExecuteActivity(step.ActivityWebhook, in) }
	if b.local {
		execute = func() (converter.EncodedValue, error) { return b.ExecuteLocalActivity(b.activities.CallWebhook, in) }
	}
	value, err := execute()
	if err != nil {
		return step.WebhookResult{}, err
	}
	var result step.WebhookResult
	return result, value.Get(&result)
}

// progress is what a failed attempt left behind.
func progress(t *testing.T, err error) step.Progress {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	var p step.Progress
	require.NoError(t, app.Details(&p))
	require.Equal(t, string(p.Fault.Kind), app.Type())
	require.Equal(t, p.RetryIn <= 0, app.NonRetryable())
	return p
}

func TestWebhook_FailedAttemptsSayHowToGoOn(t *testing.T) {
	t.Parallel()
	after := func(seconds string) *egress.Response {
		r := response(http.StatusTooManyRequests, "")
		r.Header.Set("Retry-After", seconds)
		return r
	}
	cases := map[string]struct {
		response *egress.Response
		err      error
		before   int // attempts made before
		kind     fault.Kind
		min, max time.Duration // of the wait; 0 = final
	}{
		"503":                     {response(503, ""), nil, 0, fault.Status, 500 * time.Millisecond, 1500 * time.Millisecond},
		"503 again":               {response(503, ""), nil, 1, fault.Status, 1 * time.Second, 3 * time.Second},
		"503 a last time":         {response(503, ""), nil, 2, fault.Status, 0, 0},
		"404":                     {response(404, ""), nil, 0, fault.Status, 0, 0},
		"410":                     {response(410, ""), nil, 0, fault.Gone, 0, 0},
		"429 with Retry-After":    {after("5"), nil, 0, fault.RateLimited, 5 * time.Second, 5500 * time.Millisecond},
		"429 beyond the deadline": {after("60"), nil, 0, fault.RateLimited, 0, 0},
		"connection refused":      {nil, fault.New(fault.Connect, "refused"), 0, fault.Connect, 500 * time.Millisecond, 1500 * time.Millisecond},
		"blocked":                 {nil, fault.New(fault.Blocked, "blocked"), 0, fault.Blocked, 0, 0},
		"200 without JSON":        {response(200, "<html>"), nil, 0, fault.BadResponse, 0, 0},
		"an unknown error":        {nil, errors.New("surprise"), 0, fault.Internal, 500 * time.Millisecond, 1500 * time.Millisecond},
	}
	for name, c := range cases {
		for _, local := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, local %t", name, local), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.local = local
				b.answer = func(int) (*egress.Response, error) { return c.response, c.err }
				in := b.input(t, "PLAIN")
				in.Progress.Attempts = make([]schemas.Attempt, c.before)
				_, err := b.call(in)
				p := progress(t, err)
				require.Equal(t, c.kind, p.Fault.Kind)
				require.Len(t, p.Attempts, c.before+1)
				require.Equal(t, c.before+1, p.Attempts[c.before].N)
				require.Equal(t, string(c.kind), p.Attempts[c.before].Error)
				require.GreaterOrEqual(t, p.RetryIn, c.min)
				require.LessOrEqual(t, p.RetryIn, c.max)
			})
		}
	}
}

func TestWebhook_NoAttemptAfterTheDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Deadline = time.Now().Add(-time.Second)
	_, err := b.call(in)
	require.Equal(t, fault.Timeout, progress(t, err).Fault.Kind)
	require.Empty(t, b.requests)
}

func TestWebhook_EveryAttemptSendsTheSameBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.users["default/91"] = json.RawMessage(`{"city":"Utrecht"}`)
	b.answer = func(n int) (*egress.Response, error) {
		if n == 1 {
			return response(503, ""), nil
		}
		return response(200, `{"response":["ok"]}`), nil
	}
	in := b.input(t, "SIGNED")
	_, err := b.call(in)
	in.Progress = progress(t, err)
	b.users["default/91"] = json.RawMessage(`{"city":"Delft"}`) // another bot's step
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, string(b.requests[0].Body), string(b.requests[1].Body))
	require.Equal(t, b.requests[0].Header.Get("Webhook-Id"), b.requests[1].Header.Get("Webhook-Id"))
	require.Equal(t, "2", b.requests[1].Header.Get("Hookturn-Attempt"))
	require.Len(t, result.Attempts, 2)
}

func TestPublishReply_FinalErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		final bool
	}{
		"NATS away": {errors.New("away"), false},
		"too large": {fault.New(fault.TooLarge, "too large"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.publish = func(schemas.Reply) error { return c.err }
			_, err := b.ExecuteActivity(step.ActivityPublish, step.PublishInput{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}})
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, c.final, app.NonRetryable())
		})
	}
}

// TestPublishReply_OldEvent: nothing but the event's time shows that a reply was published before, and longer ago than the
// stream recognises ids.
func TestPublishReply_OldEvent(t *testing.T) {
	t.Parallel()
	for age, again := range map[time.Duration]bool{time.Minute: true, 20 * time.Minute: false, 100 * time.Hour: true} {
		b := setup(t)
		to := step.Address{
			ConversationKey: schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"),
			Event:           schemas.Event{ID: "e1", Time: time.Now().Add(-age)},
		}
		in, err := to.Reply(schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e1", Outcome: schemas.OutcomeRejected})
		require.NoError(t, err)
		b.found = &in.Reply
		published := 0
		b.publish = func(schemas.Reply) error { published++; return nil }
		_, err = b.ExecuteActivity(step.ActivityPublish, in)
		require.NoError(t, err)
		require.Equal(t, again, published > 0, age)

		in.Shared, published = true, 0
		_, err = b.ExecuteActivity(step.ActivityPublish, in)
		require.NoError(t, err)
		require.Zero(t, published, "another run has published it")
	}
}

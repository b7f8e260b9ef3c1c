package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// tokens is a source of tokens that hands out the next one when the last was given back.
type tokens struct {
	all   []string
	stale []string
	fault *fault.Fault
}

func (f *tokens) Get(_ context.Context, g oauth2.Grant) (string, *fault.Fault) {
	if f.fault != nil {
		return "", f.fault
	}
	return f.all[len(f.stale)] + " of " + g.Tenant + "/" + g.Bot + "/" + g.ClientID, nil
}

func (f *tokens) Forget(_ oauth2.Grant, used string) { f.stale = append(f.stale, used) }

// queue is one queue, whosever it is.
type queue struct {
	entries [][]byte
	removed uint64
	full    error
	unread  error // why the queue cannot be read
	share   error // why the tenant's share takes no new entry
}

func (q *queue) Add(ctx context.Context, key schemas.ConversationKey, step, event string, data []byte) error {
	if q.share != nil {
		return q.share
	}
	return q.AddAgain(ctx, key, step, event, data)
}

func (q *queue) AddAgain(_ context.Context, _ schemas.ConversationKey, _, _ string, data []byte) error {
	if q.full == nil {
		q.entries = append(q.entries, data)
	}
	return q.full
}

func (q *queue) Head(_ context.Context, _ schemas.BotID, _ string) (store.QueueHead, error) {
	if q.unread != nil || len(q.entries) == 0 {
		return store.QueueHead{}, q.unread
	}
	return store.QueueHead{Data: q.entries[0], Sequence: q.removed + 1, ID: q.id()}, nil
}

// id is that of the oldest entry.
func (q *queue) id() string { return fmt.Sprintf("id of %d", q.removed+1) }

func (q *queue) Remove(_ context.Context, of schemas.BotID, step string, sequence uint64, id string) error {
	if step != "" && (of != schemas.BotID{Tenant: "default", Bot: "shop"} || step != "NOTIFY" || id != q.id()) {
		return errors.New("another queue or entry")
	}
	if sequence == q.removed+1 {
		q.entries, q.removed = q.entries[1:], sequence
	}
	return nil
}

type offers struct{}

func (offers) URL(workflow, event string, _ time.Time) string {
	return "https://gateway.example/" + workflow + "/" + event
}

func TestCallWebhook_DeniedRequestIsNotAnAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) {
		r := response(http.StatusTooManyRequests, "")
		r.Header.Set("Retry-After", "20")
		return r, nil
	}
	in := b.input(t, "PLAIN")
	_, err := b.call(in)
	in.Progress = progress(t, err)
	for range 5 { // more than it may attempt
		_, err = b.call(in)
		p := progress(t, err)
		require.Equal(t, fault.RateLimited, p.Fault.Kind)
		require.Zero(t, p.Fault.Status)
		require.GreaterOrEqual(t, p.RetryIn, 4*time.Second)
		require.Len(t, p.Attempts, 1)
	}
	_, err = b.call(b.input(t, "SIGNED")) // the same endpoint
	require.Equal(t, fault.RateLimited, progress(t, err).Fault.Kind)
	require.Len(t, b.requests, 1)
}

func TestWebhook_StepThatMayNotBeRepeatedDoesNotWaitForACircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) { return nil, fault.New(fault.Connect, "refused") }
	_, err := b.call(b.input(t, "ONCE"))
	require.Equal(t, fault.Connect, progress(t, err).Fault.Kind)
	_, err = b.call(b.input(t, "ONCE"))
	p := progress(t, err)
	require.Equal(t, fault.CircuitOpen, p.Fault.Kind)
	require.Zero(t, p.RetryIn)
	_, err = b.call(b.input(t, "PLAIN")) // a step that may wait does: the same endpoint, whatever its query
	p = progress(t, err)
	require.Equal(t, fault.CircuitOpen, p.Fault.Kind)
	require.Positive(t, p.RetryIn)
	require.Len(t, b.requests, 1)
}

func TestWebhook_AttemptWhoseLateAnswerIsWantedMayOutliveTheStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "LATE")
	in.Deadline = time.Now().Add(10 * time.Second) // less than one attempt of either step
	_, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, b.requests[0].Timeout)
	in = b.input(t, "PLAIN")
	in.Deadline = time.Now().Add(10 * time.Second) // less than one attempt of either step
	_, err = b.call(in)
	require.NoError(t, err)
	require.LessOrEqual(t, b.requests[1].Timeout, 10*time.Second)
}

func TestCallWebhook_OffersCallback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.activities.Callbacks = offers{}
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusAccepted, ""), nil }
	result, err := b.call(b.input(t, "DEFER"))
	require.NoError(t, err)
	require.True(t, result.CallsBack)
	require.Len(t, result.Attempts, 1)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusAccepted, `{"ok":true}`), nil }
	result, err = b.call(b.input(t, "DEFER"))
	require.NoError(t, err)
	require.True(t, result.CallsBack, "whatever the body of the 202 is")
	require.Regexp(t, "^https://gateway.example/.+/e1$", b.requests[0].Header.Get("Hookturn-Callback"))

	_, err = b.call(b.input(t, "PLAIN"))
	require.Error(t, err, "202 means nothing to the haptik dialect")
	require.Empty(t, b.requests[2].Header.Get("Hookturn-Callback"))
}

func TestWebhook_CallbackNeedsAGateway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusAccepted, ""), nil }
	_, err := b.call(b.input(t, "DEFER"))
	p := progress(t, err)
	require.Equal(t, fault.Config, p.Fault.Kind)
	require.Contains(t, p.Fault.Message, "HOOKTURN_GATEWAY_URL")
	require.Zero(t, p.RetryIn)
	require.Empty(t, b.requests[0].Header.Get("Hookturn-Callback"))
}

func TestWebhook_CallbackIsReadAsAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	value, err := b.ExecuteActivity(step.ActivityAnswer, step.AnswerInput{
		Webhook: b.input(t, "DEFER"), Body: json.RawMessage(`{"messages":["shipped"],"variables":{"state":"sent"}}`),
	})
	require.NoError(t, err)
	var result step.WebhookResult
	require.NoError(t, value.Get(&result))
	require.True(t, result.Success)
	require.Equal(t, []schemas.Message{schemas.Text("shipped")}, result.Messages)
	require.Equal(t, "sent", *result.Variables["state"])

	_, err = b.ExecuteActivity(step.ActivityAnswer, step.AnswerInput{Webhook: b.input(t, "DEFER"), Body: json.RawMessage(`[]`)})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.True(t, app.NonRetryable())
	require.Equal(t, string(fault.BadResponse), app.Type())
}

func TestCallWebhook_BackgroundIgnoresAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusOK, `<html>`), nil }
	result, err := b.call(b.input(t, "NOTIFY"))
	require.NoError(t, err)
	require.True(t, result.Success)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusBadGateway, ""), nil }
	_, err = b.call(b.input(t, "NOTIFY"))
	require.Equal(t, fault.Status, progress(t, err).Fault.Kind)
}

func TestWebhook_TokenThatIsNotTakenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tokens.all = []string{"old", "new", "newest"}
	b.answer = func(n int) (*egress.Response, error) {
		if n == 1 {
			return response(http.StatusUnauthorized, ""), nil
		}
		return response(http.StatusOK, `{}`), nil
	}
	in := b.input(t, "OAUTH")
	_, err := b.call(in)
	in.Progress = progress(t, err)
	require.Positive(t, in.Progress.RetryIn, "another attempt brings another token")
	_, err = b.call(in)
	require.NoError(t, err)
	require.Equal(t, []string{"old of default/shop/shop"}, b.tokens.stale)
	require.Equal(t, "Bearer old of default/shop/shop", b.requests[0].Header.Get("Authorization"))
	require.Equal(t, "Bearer new of default/shop/shop", b.requests[1].Header.Get("Authorization"))

	b.answer = func(int) (*egress.Response, error) { return response(http.StatusUnauthorized, ""), nil }
	in.Progress.Attempts = append(in.Progress.Attempts, in.Progress.Attempts[0])
	_, err = b.call(in)
	require.Zero(t, progress(t, err).RetryIn, "a token that was just fetched is not the reason")
}

func TestWebhook_NoTokenNoRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tokens.fault = fault.New(fault.Config, "the token endpoint refuses the client")
	_, err := b.call(b.input(t, "OAUTH"))
	require.Equal(t, fault.Config, progress(t, err).Fault.Kind)
	require.Empty(t, b.requests)
}

func (b *bundle) enqueue(t *testing.T, event string) error {
	t.Helper()
	_, err := b.ExecuteActivity(step.ActivityEnqueue, b.queued(t, event))
	return err
}

// enqueueFirst is enqueue by a local activity, the first try of each.
func (b *bundle) enqueueFirst(t *testing.T, event string) error {
	t.Helper()
	_, err := b.ExecuteLocalActivity(b.activities.Enqueue, b.queued(t, event))
	return err
}

func (b *bundle) queued(t *testing.T, event string) step.Queued {
	t.Helper()
	in := b.input(t, "NOTIFY")
	in.Event.ID = event
	return step.Queued{Conversation: "c-1", Webhook: in}
}

func (b *bundle) head(t *testing.T) step.Queued {
	t.Helper()
	value, err := b.ExecuteActivity(step.ActivityQueueHead, step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY"})
	require.NoError(t, err)
	var head step.Queued
	require.NoError(t, value.Get(&head))
	return head
}

func TestWebhook_BackgroundStepWaitsInItsQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Zero(t, b.head(t).Sequence)
	require.NoError(t, b.enqueue(t, "e1"))
	b.queue.entries = append(b.queue.entries, []byte(`{"webhook":{}}`), []byte("from another age"))
	require.NoError(t, b.enqueue(t, "e2"))
	require.Equal(t, step.Queue{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "NOTIFY"}, b.woken[0])

	first := b.head(t)
	require.Equal(t, "e1", first.Webhook.Event.ID)
	require.Equal(t, "c-1", first.Conversation)
	of := step.QueueEntry{BotID: first.Webhook.Plan.BotID, Step: "NOTIFY", ID: first.Entry}
	_, err := b.ExecuteActivity(step.ActivityQueueDone, first.Sequence, of)
	require.NoError(t, err)
	second := b.head(t)
	require.Equal(t, "e2", second.Webhook.Event.ID, "what cannot be read does not hold up the queue")
	require.Len(t, b.queue.entries, 1)
	_, err = b.ExecuteActivity(step.ActivityQueueDone, second.Sequence)
	require.NoError(t, err, "as a run of an earlier release removes it")
	require.Empty(t, b.queue.entries)
}

// TestEnqueue_StoredEntryIsNotRejected: the share of the tenant may be full when an entry that is queued is queued again,
// because its queue could not be woken or its worker was lost. A new entry is rejected.
func TestEnqueue_StoredEntryIsNotRejected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue.share = fault.New(fault.QueueFull, "the share is full")
	require.Error(t, b.enqueueFirst(t, "e1"))
	require.Empty(t, b.woken)
	require.NoError(t, b.enqueue(t, "e1"))
	require.Len(t, b.woken, 1)
	b.activities.RunReassigned("default-test-run-id")
	require.NoError(t, b.enqueueFirst(t, "e1"))
	require.Len(t, b.woken, 2)
	require.Error(t, b.enqueueFirst(t, "e2"), "another worker may have queued one step of the run, not the later ones")
	require.Len(t, b.woken, 2)
}

// TestEnqueue_SignalsForTheFirst: the run that works on an earlier entry looks for the next one without a signal, of which
// the server lets it have a limited number. Where that run was cancelled, the next entry starts another one.
func TestEnqueue_SignalsForTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, event := range []string{"e1", "e2", "e3"} {
		require.NoError(t, b.enqueue(t, event))
	}
	require.Len(t, b.woken, 1)
	require.Len(t, b.begun, 2)
	require.Len(t, b.queue.entries, 3)
	b.asleep = errors.New("away")
	require.Error(t, b.enqueue(t, "e3"), "a queue without a running workflow must be started")
	b.asleep = nil
	b.queue.entries = [][]byte{[]byte("from another age")}
	require.NoError(t, b.enqueue(t, "e4"))
	require.Len(t, b.woken, 2)
}

func TestEnqueue_FullQueueIsFinal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue.full = fault.New(fault.QueueFull, "10,000 wait")
	var app *temporal.ApplicationError
	require.ErrorAs(t, b.enqueue(t, "e1"), &app)
	require.True(t, app.NonRetryable())
	require.Equal(t, string(fault.QueueFull), app.Type())
	require.Empty(t, b.woken)

	b.queue.full = errors.New("away")
	require.ErrorAs(t, b.enqueue(t, "e1"), &app)
	require.False(t, app.NonRetryable())

	b.queue.full, b.asleep = nil, errors.New("away")
	require.ErrorAs(t, b.enqueue(t, "e1"), &app)
	require.False(t, app.NonRetryable(), "a queue without a running workflow must be woken")
}

func response(status int, body string) *egress.Response {
	return &egress.Response{Status: status, Header: http.Header{}, Body: []byte(body)}
}

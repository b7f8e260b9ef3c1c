package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
	"github.com/hookturn/hookturn/workflows"
)

// world is a conversation in the SDK's test environment, with fakes registered under the activities' real names.
type world struct {
	*testsuite.TestWorkflowEnvironment

	mu      sync.Mutex
	calls   []step.WebhookInput // in the order they were made
	replies []schemas.Reply     // in the order they were published
	running int
	overlap int // the most webhooks that ran at a time

	// answer makes the endpoint's answer to the n-th call (from 1). nil: success with one text.
	answer func(n int, in step.WebhookInput) (step.WebhookResult, error)
	// refuse makes publishing fail. nil: it never does.
	refuse func(n int, in step.PublishInput) error
	// stored are step.replied that the stream has already, by id.
	stored map[string]schemas.StepReplied
	undone []*step.UserWrite // to be undone for the sake of stored
	// keepsOpen makes publishing leave conversation.closed to the workflow.
	keepsOpen bool

	queue []step.Queued // the background queue
	done  []step.QueueEntry
	full  error // why the queue takes nothing; nil: it does

	callbacks  map[string]error // what became of callbacks that were let in
	rejections map[string]error
	results    map[string]step.Result
}

func newWorld(t *testing.T) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	w := &world{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(),
		rejections:              map[string]error{}, results: map[string]step.Result{}, callbacks: map[string]error{},
	}
	w.SetTestTimeout(time.Minute)
	// With the SDK's default of 1 s, a busy machine is taken for a deadlock, as in internal/app.
	w.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute})
	workflows.Register(w.TestWorkflowEnvironment)
	w.RegisterActivityWithOptions(w.webhook, activity.RegisterOptions{Name: step.ActivityWebhook})
	w.RegisterActivityWithOptions(w.publish, activity.RegisterOptions{Name: step.ActivityPublish})
	w.RegisterActivityWithOptions(w.readAnswer, activity.RegisterOptions{Name: step.ActivityAnswer})
	w.RegisterActivityWithOptions(w.enqueue, activity.RegisterOptions{Name: step.ActivityEnqueue})
	w.RegisterActivityWithOptions(w.queueHead, activity.RegisterOptions{Name: step.ActivityQueueHead})
	w.RegisterActivityWithOptions(w.queueDone, activity.RegisterOptions{Name: step.ActivityQueueDone})
	return w
}

// readAnswer takes any JSON string but "unreadable" for an answer of one text.
func (w *world) readAnswer(_ context.Context, in step.AnswerInput) (step.WebhookResult, error) {
	var text string
	if json.Unmarshal(in.Body, &text) != nil || text == "unreadable" {
		return step.WebhookResult{}, temporal.NewApplicationErrorWithOptions("/: unreadable", string(fault.BadResponse),
			temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	return succeed(in.Webhook, text), nil
}

func (w *world) enqueue(_ context.Context, q step.Queued) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full == nil {
		w.queue = append(w.queue, q)
	}
	return w.full
}

func (w *world) queueHead(context.Context, step.Queue) (step.Queued, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return step.Queued{}, nil
	}
	head := w.queue[0]
	head.Sequence, head.Entry = 1, "id of "+head.Webhook.Event.ID
	return head, nil
}

func (w *world) queueDone(_ context.Context, _ uint64, of step.QueueEntry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, of)
	w.queue = w.queue[1:]
	return nil
}

func (w *world) webhook(_ context.Context, in step.WebhookInput) (step.WebhookResult, error) {
	w.mu.Lock()
	w.calls = append(w.calls, in)
	n := len(w.calls)
	w.running++
	w.overlap = max(w.overlap, w.running)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	if w.answer != nil {
		return w.answer(n, in)
	}
	return succeed(in, fmt.Sprintf("answer %d", n)), nil
}

func (w *world) publish(_ context.Context, in step.PublishInput) (*step.Published, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.stored[in.Reply.ID]; ok {
		w.undone = append(w.undone, in.Wrote)
		return &step.Published{Stored: &before}, nil
	}
	if w.refuse != nil {
		if err := w.refuse(len(w.replies)+1, in); err != nil {
			return nil, err
		}
	}
	w.replies = append(w.replies, in.Reply)
	if in.Closing != nil && !w.keepsOpen {
		w.replies = append(w.replies, *in.Closing)
		return &step.Published{Closed: true}, nil
	}
	return nil, nil
}

// send hands an event to the conversation after a delay on the test's clock, which goes as fast as any other while an activity
// runs: an event that must come after the end of another's activity comes a minute later, for a machine that stops.
func (w *world) send(after time.Duration, d step.Delivery) { w.sendAs(after, d.Event.ID, d) }

// sendAs is send as the Update of an id: the environment has one Update of each id, also of those that were rejected.
func (w *world) sendAs(after time.Duration, id string, d step.Delivery) {
	w.RegisterDelayedCallback(func() {
		w.UpdateWorkflow(step.UpdateName(d.Event.Type), id, &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { w.rejections[d.Event.ID] = err },
			OnComplete: func(result any, err error) {
				if r, ok := result.(step.Result); ok && err == nil {
					w.results[d.Event.ID] = r
				}
			},
		}, d)
	}, after)
}

func (w *world) converse(t *testing.T, s step.State) {
	t.Helper()
	w.ExecuteWorkflow(step.WorkflowConversation, s)
	require.True(t, w.IsWorkflowCompleted())
}

// types lists the types of the published replies, without their prefix.
func (w *world) types() []string {
	var types []string
	for _, r := range w.replies {
		types = append(types, r.Type[len("hookturn."):])
	}
	return types
}

// replied decodes the n-th reply (from 0) as step.replied.
func (w *world) replied(t *testing.T, n int) schemas.StepReplied {
	t.Helper()
	require.Greater(t, len(w.replies), n, "replies: %v", w.types())
	require.Equal(t, schemas.TypeStepReplied, w.replies[n].Type)
	var r schemas.StepReplied
	require.NoError(t, json.Unmarshal(w.replies[n].Data, &r))
	return r
}

func succeed(in step.WebhookInput, text string) step.WebhookResult {
	var r step.WebhookResult
	r.Success, r.Messages, r.ConversationDetails = true, []schemas.Message{schemas.Text(text)}, in.ConversationDetails
	r.Attempts = append(in.Progress.Attempts, schemas.Attempt{N: len(in.Progress.Attempts) + 1, Status: 200})
	return r
}

// fail is a failed attempt as the activity reports it; retryIn 0 makes it final.
func fail(in step.WebhookInput, kind fault.Kind, retryIn time.Duration) error {
	p := in.Progress
	p.Attempts = append(p.Attempts, schemas.Attempt{N: len(p.Attempts) + 1, Error: string(kind)})
	p.Fault, p.RetryIn = fault.New(kind, "provoked"), retryIn
	return temporal.NewApplicationErrorWithOptions("provoked", string(kind), temporal.ApplicationErrorOptions{
		NonRetryable: retryIn <= 0, NextRetryDelay: retryIn, Details: []any{p},
	})
}

var errAway = errors.New("away")

const idle = 3 * time.Hour

func newState() step.State {
	return step.State{ConversationKey: schemas.ConversationKey{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Conversation: "c-42"}, IdleTimeout: bot.Duration(idle), Format: step.FormatLatest}
}

func plan(change ...func(*bot.Plan)) *bot.Plan {
	p := &bot.Plan{
		BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "ORDER_STATUS", Dialect: bot.DialectHaptik,
		OnFailure: bot.OnFailureBotBreak, BotBreak: bot.Texts{"default": "Sorry.", "hi": "Maaf."},
		Webhook: &bot.Webhook{
			URL: "https://shop.example/orders?token=x", Timeout: bot.Duration(30 * time.Second),
			AttemptTimeout: bot.Duration(15 * time.Second),
			Retry:          bot.Retry{MaxAttempts: 3, Initial: bot.Duration(time.Second), Max: bot.Duration(10 * time.Second), Backoff: 2},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func requires(names ...string) func(*bot.Plan) { return func(p *bot.Plan) { p.Requires = names } }

func endStep(p *bot.Plan) { p.EndStep = true }

func event(id, eventType string, data schemas.EventData) schemas.Event {
	return schemas.Event{
		SpecVersion: "1.0", ID: id, Source: "/engine", Type: eventType, Subject: "c-42", Data: data,
		Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
	}
}

func requested(id string, p *bot.Plan) step.Delivery {
	return step.Delivery{Event: event(id, schemas.TypeStepRequested, schemas.EventData{Step: p.Step}), Plan: p}
}

func collected(id string, names ...string) step.Delivery {
	entities := map[string][]schemas.Entity{}
	for _, name := range names {
		entities[name] = []schemas.Entity{{Detection: "message", OriginalText: name, EntityValue: json.RawMessage(`"x"`)}}
	}
	return step.Delivery{Event: event(id, schemas.TypeEntitiesCollected, schemas.EventData{Entities: entities})}
}

func ended(id, reason string) step.Delivery {
	return step.Delivery{Event: event(id, schemas.TypeConversationEnded, schemas.EventData{Reason: reason})}
}

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
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// queuedStep returns a step of a background queue as its run schedules it. Its entry is the oldest of the queue.
func queuedStep(t *testing.T, b *bundle) (in step.WebhookInput, at limit.Endpoint) {
	t.Helper()
	in = b.input(t, "NOTIFY")
	w := *in.Plan.Webhook
	in.Plan.Webhook, in.Left, in.Event.Subject = &w, w.Timeout.D(), "c-1"
	b.setHead(t, in)
	return in, limit.Endpoint{BotID: in.Plan.BotID, URL: w.URL}
}

// setHead makes the entry of a step the only one in the queue.
func (b *bundle) setHead(t *testing.T, in step.WebhookInput) {
	t.Helper()
	entry, err := json.Marshal(step.Queued{Conversation: in.Event.Subject, Webhook: in})
	require.NoError(t, err)
	b.queue.entries = [][]byte{entry}
}

// tryAgain runs the activity of a step as a later try, some time after it was scheduled, with the progress before it.
func tryAgain(b *bundle, in step.WebhookInput, before step.Progress, try int32, ago time.Duration) (
	step.WebhookResult, error,
) {
	var suite testsuite.WorkflowTestSuite
	b.TestActivityEnvironment = suite.NewTestActivityEnvironment().SetTestTimeout(time.Minute)
	b.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&listener{attempt: try, ago: ago}}})
	b.activities.Register(b.TestActivityEnvironment)
	b.SetHeartbeatDetails(before)
	return b.call(in)
}

func askedToWait(seconds int) *egress.Response {
	r := response(http.StatusServiceUnavailable, "")
	r.Header.Set("Retry-After", fmt.Sprint(seconds))
	return r
}

// TestCallWebhook_QueuedStepWaitsForPause: a step of a background queue waits until its endpoint is resumed, in parts of a
// minute at most, and has all of its time then. A step that a user waits for ends at once.
func TestCallWebhook_QueuedStepWaitsForPause(t *testing.T) {
	t.Parallel()
	for name, until := range map[string]time.Time{"for a day": time.Now().Add(24 * time.Hour), "until resumed": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			limits := &limit.Limiter{}
			b.activities.Limits = limits
			in, at := queuedStep(t, b)
			limits.Hold(at, until)
			_, err := b.call(in)
			p := progress(t, err)
			for try := range int32(3) {
				require.Equal(t, fault.RateLimited, p.Fault.Kind)
				require.Positive(t, p.RetryIn)
				require.LessOrEqual(t, p.RetryIn, time.Minute, "a resumption takes effect")
				require.Empty(t, p.Attempts)
				_, err = tryAgain(b, in, p, try+2, time.Duration(try+1)*8*time.Hour)
				p = progress(t, err)
			}
			limits.Resume(at)
			_, err = tryAgain(b, in, p, 5, 30*time.Hour)
			require.NoError(t, err)
			require.Len(t, b.requests, 1)
			require.Equal(t, in.Plan.Webhook.AttemptTimeout.D(), b.requests[0].Timeout)

			limits.Hold(at, time.Now().Add(24*time.Hour))
			in.Event.ID, in.Plan.Webhook.Mode = "e-sync", ""
			_, err = tryAgain(b, in, step.Progress{}, 1, 0)
			require.Zero(t, progress(t, err).RetryIn)
		})
	}
}

// TestCallWebhook_QueuedStepAndCircuit: an open circuit ends no queued step, also where the bot file allows one attempt.
func TestCallWebhook_QueuedStepAndCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, _ := queuedStep(t, b)
	in.Plan.Webhook.Retry.MaxAttempts = 1
	in.Plan.Webhook.Limits = bot.Limits{TripAfter: 1, OpenFor: bot.Duration(time.Hour)}
	b.answer = func(int) (*egress.Response, error) { return nil, fault.New(fault.Connect, "refused") }
	_, err := b.call(in)
	require.Zero(t, progress(t, err).RetryIn, "its request was made")
	in.Event.ID = "the next one"
	_, err = b.call(in)
	p := progress(t, err)
	require.Equal(t, fault.CircuitOpen, p.Fault.Kind)
	require.Equal(t, time.Minute, p.RetryIn)
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_QueuedStepAndRetryAfter: a Retry-After that the limits keep for all requests does not end the step that
// got it. Another one is obeyed within the step's time.
func TestCallWebhook_QueuedStepAndRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxPause time.Duration
		before   int // attempts
		waits    bool
	}{
		"kept by the limits":     {time.Hour, 0, true},
		"longer than max_pause":  {0, 0, false},
		"no attempt is left":     {time.Hour, 4, false},
		"one more attempt comes": {time.Hour, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			in, _ := queuedStep(t, b)
			in.Plan.Webhook.Limits.MaxPause = bot.Duration(c.maxPause)
			in.Progress.Attempts = make([]schemas.Attempt, c.before)
			b.answer = func(int) (*egress.Response, error) { return askedToWait(1800), nil }
			_, err := b.call(in)
			p := progress(t, err)
			if !c.waits {
				require.Zero(t, p.RetryIn)
				return
			}
			require.Equal(t, time.Minute, p.RetryIn)
			_, err = tryAgain(b, in, p, 2, time.Hour) // the limits deny the request
			p = progress(t, err)
			require.Equal(t, time.Minute, p.RetryIn)
			require.Len(t, p.Attempts, c.before+1)
			require.Len(t, b.requests, 1)
		})
	}
}

// TestCallWebhook_QueuedStepAndGone: an endpoint that answered 410 is not waited for.
func TestCallWebhook_QueuedStepAndGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, _ := queuedStep(t, b)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusGone, ""), nil }
	for _, id := range []string{"e1", "e2"} {
		in.Event.ID = id
		_, err := b.call(in)
		require.Equal(t, fault.Gone, progress(t, err).Fault.Kind)
	}
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_QueuedStepTime: the time of a queued step starts when a worker first takes it. A try whose worker was lost
// counts: a step that stops each worker does not hold up its queue.
func TestCallWebhook_QueuedStepTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, _ := queuedStep(t, b)
	_, err := tryAgain(b, in, step.Progress{}, 1, 24*time.Hour)
	require.NoError(t, err)
	in.Event.ID = "the next one"
	b.setHead(t, in)
	_, err = tryAgain(b, in, step.Progress{Waited: time.Hour}, 2, time.Hour+in.Left+time.Second)
	require.Equal(t, fault.Timeout, progress(t, err).Fault.Kind)
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_QueuedStepExpired: no request is made after the latest useful moment of an event, paused or not.
func TestCallWebhook_QueuedStepExpired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := &limit.Limiter{}
	b.activities.Limits = limits
	in, at := queuedStep(t, b)
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	in.UsefulUntil = &later
	_, err := b.call(in)
	require.NoError(t, err)
	in.UsefulUntil, in.Event.ID = &past, "the next one"
	for range 2 {
		_, err = b.call(in)
		p := progress(t, err)
		require.Equal(t, fault.Expired, p.Fault.Kind)
		require.Zero(t, p.RetryIn)
		limits.Hold(at, time.Time{})
	}
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_QueuedStepAndToken: a step whose endpoint is paused waits without a request for a bearer token. A retired
// endpoint may take the accounts of its clients with it.
func TestCallWebhook_QueuedStepAndToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := &limit.Limiter{}
	b.activities.Limits = limits
	in, at := queuedStep(t, b)
	in.Plan.Webhook.OAuth2 = b.input(t, "OAUTH").Plan.Webhook.OAuth2
	b.tokens.fault = fault.New(fault.Config, "the token endpoint answered invalid_client")
	limits.Hold(at, time.Now().Add(time.Hour))
	_, err := b.call(in)
	p := progress(t, err)
	require.Equal(t, fault.RateLimited, p.Fault.Kind)
	require.Equal(t, time.Minute, p.RetryIn)
	limits.Resume(at)
	_, err = tryAgain(b, in, p, 2, time.Hour)
	require.Equal(t, fault.Config, progress(t, err).Fault.Kind)
	require.Empty(t, b.requests)
}

// TestCallWebhook_QueuedStepTakesNoRetrySlots: how often a queue looks whether its endpoint is still paused does not delay
// the steps that users wait for behind the end of the pause.
func TestCallWebhook_QueuedStepTakesNoRetrySlots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := &limit.Limiter{}
	b.activities.Limits = limits
	in, at := queuedStep(t, b)
	in.Plan.Webhook.Limits.PerSecond = 0.1
	until := time.Now().Add(time.Hour)
	limits.Hold(at, until)
	for try := range int32(3) {
		_, err := tryAgain(b, in, step.Progress{Held: true}, try+1, time.Duration(try)*time.Minute)
		require.Equal(t, time.Minute, progress(t, err).RetryIn)
	}
	asked := time.Now()
	denied := limits.Check(limit.Request{Endpoint: at, Limits: in.Plan.Webhook.Limits})
	require.False(t, asked.Add(denied.RetryAfter).After(until.Add(10*time.Second)), "the first slot")
}

// TestCallWebhook_QueuedStepDeleted: a step whose entry was deleted while it waited, with what else is stored of its user,
// makes no request, also while its endpoint is paused.
func TestCallWebhook_QueuedStepDeleted(t *testing.T) {
	t.Parallel()
	noEntry := func(_ *testing.T, b *bundle, _ step.WebhookInput) { b.queue.entries = nil }
	for name, c := range map[string]struct {
		try    int32
		ago    time.Duration
		change func(t *testing.T, b *bundle, in step.WebhookInput)
		sent   bool
	}{
		"still stored":        {2, 0, func(*testing.T, *bundle, step.WebhookInput) {}, true},
		"no entry is left":    {2, 0, noEntry, false},
		"waited for a worker": {1, time.Hour, noEntry, false},
		"queue cannot be read": {2, 0, func(_ *testing.T, b *bundle, _ step.WebhookInput) {
			b.queue.unread = errors.New("away")
		}, true},
		"entry of another event": {2, 0, func(t *testing.T, b *bundle, in step.WebhookInput) {
			in.Event.ID = "e-2"
			b.setHead(t, in)
		}, false},
		"entry of another conversation": {2, 0, func(t *testing.T, b *bundle, in step.WebhookInput) {
			in.Event.Subject = "c-2"
			b.setHead(t, in)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			limits := &limit.Limiter{}
			b.activities.Limits = limits
			in, at := queuedStep(t, b)
			c.change(t, b, in)
			if !c.sent {
				limits.Hold(at, time.Time{})
			}
			_, err := tryAgain(b, in, step.Progress{Held: true}, c.try, c.ago)
			if c.sent {
				require.NoError(t, err)
				require.Len(t, b.requests, 1)
				return
			}
			p := progress(t, err)
			require.Equal(t, fault.Cancelled, p.Fault.Kind)
			require.Zero(t, p.RetryIn)
			require.Empty(t, b.requests)
		})
	}
}

// TestPublishReply_AcceptedStepDeleted: the run of a queue does not publish again that a step was accepted when its entry
// was deleted: the conversation's reply, which has data of the user, was deleted with it.
func TestPublishReply_AcceptedStepDeleted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ deleted, shared, published bool }{
		"stored":                  {false, true, true},
		"deleted":                 {true, true, false},
		"reply of a conversation": {true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			queued, _ := queuedStep(t, b)
			if c.deleted {
				b.queue.entries = nil
			}
			published := false
			b.publish = func(schemas.Reply) error { published = true; return nil }
			to := step.Address{ConversationKey: queued.Plan.WithConversation(queued.Event.Subject), Event: queued.Event}
			in, err := to.Reply(schemas.TypeStepReplied, time.Now(), schemas.StepReplied{
				EventID: queued.Event.ID, Step: queued.Plan.Step, Outcome: schemas.OutcomeAccepted,
			})
			require.NoError(t, err)
			in.Shared = c.shared
			_, err = b.ExecuteActivity(step.ActivityPublish, in)
			require.NoError(t, err)
			require.Equal(t, c.published, published)
		})
	}
}

// slowUsers is a store of user details that answers once ready is closed.
type slowUsers struct {
	*bundle

	ready chan struct{}
}

func (s slowUsers) Get(ctx context.Context, tenant, user string) (json.RawMessage, error) {
	<-s.ready
	return s.bundle.Get(ctx, tenant, user)
}

// TestCallWebhook_FirstHeartbeat: the first heartbeat of a try has the attempts before it, and how long the step has waited:
// the worker may be lost before the next one.
func TestCallWebhook_FirstHeartbeat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ready, first := make(chan struct{}), make(chan step.Progress, 1)
	b.activities.Users = slowUsers{b, ready}
	b.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{
		&listener{attempt: 2, heard: func(_ context.Context, p step.Progress) {
			select {
			case first <- p:
				close(ready)
			default:
			}
		}},
	}})
	in, _ := queuedStep(t, b)
	b.SetHeartbeatDetails(step.Progress{Attempts: []schemas.Attempt{{N: 1, Status: 503}}, Waited: time.Hour})
	_, err := b.call(in)
	require.NoError(t, err)
	p := <-first
	require.Len(t, p.Attempts, 1)
	require.Equal(t, time.Hour, p.Waited)
}

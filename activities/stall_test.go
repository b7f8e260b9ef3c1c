package activities_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// held is a request that waits until it is let go, or its context ends.
type held struct {
	asked chan struct{}
	open  chan struct{}
	ended error // the cause by which the context ended; nil when it did not
}

func (b *bundle) holdRequests() *held {
	h := &held{asked: make(chan struct{}, 100), open: make(chan struct{})}
	b.hold = func(ctx context.Context) error {
		h.asked <- struct{}{}
		select {
		case <-h.open:
			return nil
		case <-ctx.Done():
			h.ended = context.Cause(ctx)
			return fault.Wrap(fault.Internal, h.ended, "interrupted")
		}
	}
	return h
}

// again returns another environment in which the same activities run, as after the server has given up a task.
func (b *bundle) again() *bundle {
	var suite testsuite.WorkflowTestSuite
	other := &bundle{TestActivityEnvironment: suite.NewTestActivityEnvironment().SetTestTimeout(time.Minute), activities: b.activities, local: b.local}
	b.activities.Register(other.TestActivityEnvironment)
	return other
}

// TestCallWebhook_ContextEnds: only a cancellation that the workflow asked for ends the request. The SDK ends the context of
// an activity also when a heartbeat did not reach the server.
func TestCallWebhook_ContextEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause    error
		answered bool
	}{
		"a heartbeat failed":        {context.DeadlineExceeded, true},
		"the server lost the task":  {errors.New("not found"), true},
		"an operator paused it":     {activity.ErrActivityPaused, true},
		"the workflow cancelled it": {temporal.NewCanceledError(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := b.holdRequests()
			ctx, end := context.WithCancelCause(context.Background())
			heard := 0
			b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx, Interceptors: []interceptor.WorkerInterceptor{
				&listener{heard: func(context.Context, step.Progress) {
					if heard++; heard == 3 { // well after the context has ended
						close(h.open)
					}
				}},
			}})
			go func() {
				<-h.asked
				end(c.cause)
			}()
			result, err := b.call(b.input(t, "PLAIN"))
			if c.answered {
				require.NoError(t, err)
				require.NoError(t, h.ended)
				require.True(t, result.Success)
				return
			}
			require.ErrorIs(t, h.ended, egress.ErrCancelled)
			require.Error(t, err)
		})
	}
}

// TestCallWebhook_LastHeartbeat: the next try of the activity learns how the request ended, although a heartbeat has failed
// and the SDK sends none with the activity's context.
func TestCallWebhook_LastHeartbeat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, end := context.WithCancelCause(context.Background())
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	b.answer = func(int) (*egress.Response, error) {
		end(context.DeadlineExceeded)
		return response(http.StatusServiceUnavailable, ""), nil
	}
	_, err := b.call(b.input(t, "PLAIN"))
	require.Error(t, err)
	require.Len(t, b.beats, 1)
	require.Nil(t, b.beats[0].Running)
	require.Len(t, b.beats[0].Attempts, 1)
	require.Equal(t, string(fault.Status), b.beats[0].Attempts[0].Error)
}

func TestCallWebhook_PanicLeaksNoPermit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(n int) (*egress.Response, error) {
		if n == 1 {
			panic("provoked")
		}
		return response(http.StatusOK, `{"response":["ok"]}`), nil
	}
	in := b.input(t, "PLAIN")
	in.Plan.Webhook.Limits = bot.Limits{Concurrency: 1}
	_, err := b.call(in)
	require.Equal(t, fault.Internal, progress(t, err).Fault.Kind)
	second := b.input(t, "PLAIN")
	second.Plan.Webhook.Limits = in.Plan.Webhook.Limits
	_, err = b.call(second)
	require.NoError(t, err)
}

// slow is a limiter that knows every endpoint as slow.
type slow struct{ limit.Limiter }

func (*slow) Slow(limit.Endpoint) bool { return true }

func TestCallWebhook_SlowEndpointGetsAnActivity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		execution string
		local     bool
		before    int
		want      bool
	}{
		"by default":            {"", true, 0, true},
		"auto":                  {bot.ExecutionAuto, true, 0, true},
		"local":                 {bot.ExecutionLocal, true, 0, false},
		"an activity already":   {bot.ExecutionAuto, false, 0, false},
		"not the first attempt": {bot.ExecutionAuto, true, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.activities.Limits = &slow{}
			b.local = c.local
			b.publish = func(schemas.Reply) error { return nil }
			in := b.input(t, "PLAIN")
			in.Plan.Webhook.Execution, in.Reply = c.execution, true
			in.Progress.Attempts = make([]schemas.Attempt, c.before)
			result, err := b.call(in)
			require.NoError(t, err)
			require.Equal(t, c.want, result.AsActivity)
			require.Equal(t, c.want, result.HeartbeatTimeout >= 3*time.Second)
			require.Equal(t, c.want, len(b.requests) == 0)
		})
	}
}

// TestCallWebhook_Heartbeats: a request that takes long is reported again and again, with what is under way, also when the
// SDK has ended the activity's context because a heartbeat failed.
func TestCallWebhook_Heartbeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.holdRequests()
	ctx, end := context.WithCancelCause(context.Background())
	heard := 0
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx, Interceptors: []interceptor.WorkerInterceptor{
		&listener{heard: func(ctx context.Context, p step.Progress) {
			if p.Running == nil {
				return
			}
			if ctx.Err() != nil {
				t.Error("the SDK sends no heartbeat with a context that has ended")
			}
			switch heard++; heard {
			case 1:
				end(context.DeadlineExceeded)
			case 3:
				close(h.open)
			}
		}},
	}})
	_, err := b.call(b.input(t, "PLAIN"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, heard, 3)
}

// TestCallWebhook_ResumesFromHeartbeat: attempts of this activity that another worker has made count, also the one that was
// under way when that worker was lost.
func TestCallWebhook_ResumesFromHeartbeat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.SetHeartbeatDetails(step.Progress{
		Attempts: []schemas.Attempt{{N: 1, Status: 503, Error: "status"}}, Running: &schemas.Attempt{N: 2, URL: "https://shop.example/orders"},
	})
	result, err := b.call(b.input(t, "PLAIN"))
	require.NoError(t, err)
	require.Len(t, result.Attempts, 3)
	require.Equal(t, 503, result.Attempts[0].Status)
	require.Equal(t, "outcome_unknown", result.Attempts[1].Error)
	require.Equal(t, 200, result.Attempts[2].Status)
	require.Equal(t, "3", b.requests[0].Header.Get("Hookturn-Attempt"))
}

func TestCallWebhook_RetryAfterIsNotCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) {
		r := response(http.StatusTooManyRequests, "")
		r.Header.Set("Retry-After", "3600")
		return r, nil
	}
	in := b.input(t, "PLAIN")
	in.Left = 2 * time.Hour
	_, err := b.call(in)
	require.GreaterOrEqual(t, progress(t, err).RetryIn, time.Hour)
}

// TestCallWebhook_DeadlineIsADuration: the moment of the deadline is by the server's clock, which this machine's may not
// agree with.
func TestCallWebhook_DeadlineIsADuration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Deadline, in.Left = time.Now().Add(-time.Hour), 10*time.Second
	_, err := b.call(in)
	require.NoError(t, err)
	require.LessOrEqual(t, b.requests[0].Timeout, 10*time.Second)
	in = b.input(t, "PLAIN")
	in.Deadline, in.Left = time.Now().Add(time.Hour), -time.Second
	_, err = b.call(in)
	require.Equal(t, fault.Timeout, progress(t, err).Fault.Kind)
	require.Len(t, b.requests, 1)
}

// hanging is a transport whose server never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestCallWebhook_DeadlineCoversEverything: what is done before the request ends with the step as well, and the fault names
// it.
func TestCallWebhook_DeadlineCoversEverything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hang  func(b *bundle)
		named string
	}{
		"the token endpoint": {func(b *bundle) { b.activities.Tokens = oauth2.New(hanging{}) }, "the token endpoint login.example"},
		"the user store":     {func(b *bundle) { b.hang = true }, "the user's details"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // time passes only while the step hangs
				b := setup(t)
				c.hang(b)
				in := b.input(t, "OAUTH")
				in.Left = 20 * time.Millisecond
				began := time.Now()
				_, err := b.call(in)
				p := progress(t, err)
				require.Equal(t, fault.Timeout, p.Fault.Kind)
				require.Contains(t, p.Fault.Message, c.named)
				require.Zero(t, p.RetryIn)
				require.Empty(t, b.requests)
				require.Equal(t, in.Left, time.Since(began))
				<-time.After(time.Minute) // the request for the token has a time of its own
			})
		})
	}
}

// TestCallWebhook_WritesAreFenced: what a step writes is ordered by when the step began, not by when its worker came to it.
// Of the tries of a step, the latest counts: the first one was paused while the second one answered, and the workflow, which
// publishes the reply, knows the second one's answer only.
func TestCallWebhook_WritesAreFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(n int) (*egress.Response, error) {
		return response(http.StatusOK, fmt.Sprintf(`{"response":["ok"],"user_details":{"try":"%d"}}`, n)), nil
	}
	began := time.Now().Add(-time.Minute)
	var want []int64
	for attempt, fence := range map[int32]int64{0: 0, 1: 1, 2: 2, 1_000_000: 999} {
		in := b.input(t, "PLAIN")
		in.Accepted = began.Add(time.Duration(len(want)) * time.Second)
		want = append(want, in.Accepted.UnixNano()+fence)
		_, err := b.try(attempt, in)
		require.NoError(t, err)
	}
	_, err := b.call(b.input(t, "PLAIN")) // from a release that did not say
	require.NoError(t, err)
	require.Equal(t, append(want, 0), b.fences)

	in := b.input(t, "PLAIN")
	in.Accepted = began.Add(time.Minute)
	for n, attempt := range []int32{2, 1} {
		in.Event.ID = fmt.Sprint("in process ", n) // or the second call would join the first one
		_, err := b.try(attempt, in)
		require.NoError(t, err)
	}
	require.Contains(t, string(b.users["default/91"]), `"try":"6"`)
}

// try makes the n-th try of an activity, as another process does; 0 = the local activity before it.
func (b *bundle) try(n int32, in step.WebhookInput) (step.WebhookResult, error) {
	of := b.again()
	of.local = n == 0
	of.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&listener{attempt: n}}})
	return of.call(in)
}

// TestCallWebhook_EqualEventsOfTwoConversations: the run of a background queue has events of many conversations, and
// an event id is unique within its conversation only.
func TestCallWebhook_EqualEventsOfTwoConversations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, conversation := range []string{"c-1", "c-2"} {
		in := b.input(t, "PLAIN")
		in.Event.ID, in.Event.Subject = "e1", conversation
		_, err := b.call(in)
		require.NoError(t, err)
	}
	require.Len(t, b.requests, 2)
}

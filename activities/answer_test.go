package activities_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/jq"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// programs has no process for the first runs, and then returns its input.
type programs struct{ busy atomic.Int64 }

func (p *programs) Run(_, _ string, input []byte) ([]byte, error) {
	if p.busy.Add(-1) >= 0 {
		return nil, fmt.Errorf("run a program: %w", jq.ErrBusy)
	}
	return input, nil
}

// mapped is the input of a plain step with a response program; the program finds no process as often as given.
func mapped(t *testing.T, b *bundle, busy int64) step.WebhookInput {
	t.Helper()
	p := &programs{}
	p.busy.Store(busy)
	b.activities.Dialects = dialects.New(p)
	in := b.input(t, "DEFER")
	in.Plan.Webhook.Response = "."
	return in
}

// TestCallWebhook_ResponseProgramWaits: an answer is decoded again when no process was free for its program; the endpoint is
// called once.
func TestCallWebhook_ResponseProgramWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := mapped(t, b, 3)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusOK, `{"messages":["ok"]}`), nil }
	result, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	require.Len(t, result.Attempts, 1)
	require.Empty(t, result.Attempts[0].Error)
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_ResponseProgramWaitsNoLonger: decoding ends with the attempt, and the failure is not the endpoint's.
func TestCallWebhook_ResponseProgramWaitsNoLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := mapped(t, b, 1<<40)
		in.Deadline = time.Now().Add(time.Second)
		b.answer = func(int) (*egress.Response, error) { return response(http.StatusOK, `{"messages":["ok"]}`), nil }
		_, err := b.call(in)
		p := progress(t, err)
		require.Equal(t, fault.Internal, p.Fault.Kind)
		require.Equal(t, http.StatusOK, p.Fault.Status)
		require.Len(t, b.requests, 1)
	})
}

// TestReadAnswer_ResponseProgramWaits: a callback whose program finds no process is not rejected within two minutes before
// the step's deadline. A conversation that is cancelled waits for it no longer than that.
func TestReadAnswer_ResponseProgramWaits(t *testing.T) {
	t.Parallel()
	const days = 72 * time.Hour
	for _, c := range []struct {
		left, ago time.Duration // until the deadline, and since the callback came
		behind    time.Duration // the server's clock, of this machine's
		final     bool
	}{
		{left: -time.Minute, behind: 2 * time.Minute}, {left: days, behind: time.Hour},
		{left: time.Hour}, {left: -time.Hour, final: true},
		{left: days, ago: time.Minute}, {left: days, ago: 2 * time.Minute, final: true},
	} {
		final := c.final
		b := setup(t)
		clock := &listener{ago: c.ago, behind: c.behind}
		b.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{clock}})
		in := mapped(t, b, 1)
		in.Deadline = time.Now().Add(c.left)
		answer := step.AnswerInput{Webhook: in, Body: json.RawMessage(`{"messages":["ok"]}`)}
		_, err := b.ExecuteActivity(step.ActivityAnswer, answer)
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.Equal(t, final, app.NonRetryable())
		require.Equal(t, string(fault.Internal), app.Type())

		value, err := b.ExecuteActivity(step.ActivityAnswer, answer)
		require.NoError(t, err)
		var result step.WebhookResult
		require.NoError(t, value.Get(&result))
		require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	}
}

// TestCallWebhook_AnswerOfManyElements: what no reply can hold is the end of the step, however small the body was, as an
// answer and as a callback.
func TestCallWebhook_AnswerOfManyElements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := `{"response":[` + strings.Repeat("1,", 100_000) + `1]}`
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusOK, list), nil }
	in := b.input(t, "PLAIN")
	_, err := b.call(in)
	p := progress(t, err)
	require.Equal(t, fault.TooLarge, p.Fault.Kind)
	require.Zero(t, p.RetryIn)
	require.Len(t, b.requests, 1)

	_, err = b.ExecuteActivity(step.ActivityAnswer, step.AnswerInput{Webhook: in, Body: json.RawMessage(list)})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(fault.TooLarge), app.Type())
	require.True(t, app.NonRetryable())
}

// chats forgets every chat.
type chats struct{}

func (chats) Remember(context.Context, schemas.BotID, string, string, int64) (string, error) {
	return "", nil
}

// TestCallWebhook_IgnoredBodies: whose body is asked for, and of which status.
func TestCallWebhook_IgnoredBodies(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		step      string
		change    func(*step.WebhookInput)
		callbacks bool
		ignored   []int
		read      []int
	}{
		"haptik":           {step: "PLAIN", ignored: []int{201, 202, 204}, read: []int{200}},
		"plain":            {step: "DEFER", read: []int{200, 202, 204}},
		"plain calls back": {step: "DEFER", callbacks: true, ignored: []int{202}, read: []int{200, 204}},
		"background":       {step: "NOTIFY", ignored: []int{200, 202, 204}},
		"twoway": {step: "PLAIN", ignored: []int{200, 201, 204}, change: func(in *step.WebhookInput) {
			in.Plan.Dialect = bot.DialectTwoWay
			in.Plan.Adapter = &bot.Adapter{Name: "agents", Account: "a"}
			in.Event.Type = schemas.TypeConversationHandover
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.activities.Chats = chats{}
			if tc.callbacks {
				b.activities.Callbacks = offers{}
			}
			in := b.input(t, tc.step)
			if tc.change != nil {
				tc.change(&in)
			}
			b.answer = func(int) (*egress.Response, error) {
				return response(http.StatusOK, `{"response":["ok"],"messages":[]}`), nil
			}
			_, err := b.call(in)
			require.NoError(t, err)
			for _, status := range tc.ignored {
				require.True(t, b.requests[0].Ignores(status), "%d", status)
			}
			for _, status := range tc.read {
				require.False(t, b.requests[0].Ignores(status), "%d", status)
			}
		})
	}
}

// TestReadAnswer_Empty: an empty callback is an answer without a message, of which the response program sees nothing.
func TestReadAnswer_Empty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := step.AnswerInput{Webhook: mapped(t, b, 1<<40)}
	text, err := json.Marshal(answer)
	require.NoError(t, err)
	require.NotContains(t, string(text), `"body"`)
	value, err := b.ExecuteActivity(step.ActivityAnswer, answer)
	require.NoError(t, err)
	var result step.WebhookResult
	require.NoError(t, value.Get(&result))
	require.True(t, result.Success)
	require.Empty(t, result.Messages)
}

// TestCallWebhook_LongRetryAfter: a delay that an endpoint asks for is obeyed as long as the step's time allows, and else
// the step ends at once.
func TestCallWebhook_LongRetryAfter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		left, asked time.Duration
		obeyed      bool
	}{
		"within the timeout":  {left: 3 * time.Hour, asked: 2 * time.Hour, obeyed: true},
		"close to the end":    {left: 2*time.Hour + time.Minute, asked: 2 * time.Hour, obeyed: true},
		"days":                {left: 29 * 24 * time.Hour, asked: 28 * 24 * time.Hour, obeyed: true},
		"beyond the timeout":  {left: 90 * time.Minute, asked: 2 * time.Hour},
		"beyond every number": {left: 29 * 24 * time.Hour, asked: 365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.answer = func(int) (*egress.Response, error) {
				r := response(http.StatusServiceUnavailable, "")
				r.Header.Set("Retry-After", fmt.Sprint(int(tc.asked.Seconds())))
				return r, nil
			}
			in := b.input(t, "PLAIN")
			in.Deadline = time.Now().Add(tc.left)
			_, err := b.call(in)
			p := progress(t, err)
			if !tc.obeyed {
				require.Zero(t, p.RetryIn)
				return
			}
			require.GreaterOrEqual(t, p.RetryIn, tc.asked)
			require.LessOrEqual(t, p.RetryIn, tc.left)
		})
	}
}

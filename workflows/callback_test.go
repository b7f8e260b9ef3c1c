package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// callBack posts a body for an event after a delay on the test's clock; what became of it goes into w.callbacks.
func (w *world) callBack(after time.Duration, id, eventID, body string) {
	w.RegisterDelayedCallback(func() {
		w.UpdateWorkflow(step.UpdateCallback, id, &testsuite.TestUpdateCallback{
			OnAccept:   func() {},
			OnReject:   func(err error) { w.rejections[id] = err },
			OnComplete: func(_ any, err error) { w.callbacks[id] = err },
		}, step.Callback{EventID: eventID, Body: json.RawMessage(body)})
	}, after)
}

func promise(_ int, in step.WebhookInput) (step.WebhookResult, error) {
	r := succeed(in, "")
	r.Messages, r.CallsBack = nil, true
	return r, nil
}

func callsBack(p *bot.Plan) { p.Dialect = bot.DialectPlain }

func TestCallback_DaysLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = promise
	w.send(time.Second, requested("e1", plan(callsBack, within(72*time.Hour), progressAfter(5*time.Second))))
	w.callBack(48*time.Hour, "other", "e0", `"x"`)
	w.callBack(49*time.Hour, "bad", "e1", `"unreadable"`)
	w.callBack(50*time.Hour, "good", "e1", `"done"`)
	w.callBack(51*time.Hour, "again", "e1", `"twice"`)
	patient := newState()
	patient.IdleTimeout = bot.Duration(60 * time.Hour)
	w.converse(t, patient)
	require.Equal(t, []string{"step.progress", "step.replied", "conversation.closed"}, w.types())
	r := w.replied(t, 1)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Equal(t, "done", r.Messages[0].Text)
	require.Len(t, r.Attempts, 1)

	requireRefused(t, w.rejections["other"], step.RejectedEarly)
	requireRefused(t, w.callbacks["bad"], step.RejectedAnswer)
	require.NoError(t, w.callbacks["good"])
	requireRefused(t, w.rejections["again"], step.RejectedCallback)
}

func requireRefused(t *testing.T, err error, kind string) {
	t.Helper()
	var refusal *temporal.ApplicationError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, kind, refusal.Type())
}

func TestCallback_BeforeThe202(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(3 * time.Second)
	w.answer = promise
	w.send(time.Second, requested("e1", plan(callsBack, progressAfter(10*time.Second))))
	w.callBack(2*time.Second, "early", "e1", `"done"`)
	w.converse(t, newState())
	require.NoError(t, w.callbacks["early"])
	require.Equal(t, "done", w.replied(t, 0).Messages[0].Text)
}

func TestCallback_NeverComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = promise
	w.send(time.Second, requested("e1", plan(callsBack, within(time.Hour))))
	w.callBack(2*time.Hour, "late", "e1", `"done"`)
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
	require.Equal(t, string(fault.Timeout), r.Error.Kind)
	require.Len(t, r.Attempts, 1)
	requireRefused(t, w.rejections["late"], step.RejectedCallback)
}

func TestCallback_OtherDialects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(3 * time.Second)
	w.send(time.Second, requested("e1", plan(progressAfter(10*time.Second))))
	w.callBack(2*time.Second, "c", "e1", `"done"`)
	w.converse(t, newState())
	requireRefused(t, w.rejections["c"], step.RejectedCallback)
}

package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
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

// TestCallback_BehindWaitingEvents: the events that wait behind a step leave its callback one of the ten Updates that the
// server accepts. What the run rejects meanwhile is asked for again.
func TestCallback_BehindWaitingEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return promise(n, in)
		}
		return succeed(in, "done"), nil
	}
	w.send(time.Second, requested("e0", plan(callsBack, within(time.Hour))))
	for i := 1; i <= 10; i++ {
		w.send(2*time.Second+time.Duration(i), requested(fmt.Sprint("e", i), plan()))
	}
	w.callBack(time.Minute, "callback", "e0", `"called back"`)
	for i := 9; i <= 10; i++ {
		w.sendAs(2*time.Minute+time.Duration(i), fmt.Sprint("again", i), requested(fmt.Sprint("e", i), plan()))
	}
	w.converse(t, newState())
	require.Len(t, w.rejections, 2)
	for _, id := range []string{"e9", "e10"} {
		requireRefused(t, w.rejections[id], step.RejectedLimit)
	}
	require.NoError(t, w.callbacks["callback"])
	require.Equal(t, "called back", w.replied(t, 0).Messages[0].Text)
	for i := range 11 {
		require.Equal(t, fmt.Sprint("e", i), w.replied(t, i).EventID)
	}
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

// TestCallback_ManyUnreadable: each one that cannot be read is in history with what the endpoint posted. From the tenth on
// they are rejected before.
func TestCallback_ManyUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = promise
	w.send(time.Second, requested("e1", plan(callsBack, within(time.Hour))))
	for n := range 10 {
		w.callBack(time.Duration(n+2)*time.Minute, fmt.Sprint("bad", n), "e1", `"unreadable"`)
	}
	w.callBack(20*time.Minute, "bad10", "e1", `"unreadable"`)
	w.callBack(21*time.Minute, "good", "e1", `"done"`)
	w.send(2*time.Hour, requested("e2", plan(callsBack, within(time.Hour))))
	w.callBack(2*time.Hour+time.Minute, "bad again", "e2", `"unreadable"`)
	w.callBack(2*time.Hour+2*time.Minute, "good again", "e2", `"done"`)
	patient := newState()
	patient.IdleTimeout = bot.Duration(5 * time.Hour)
	w.converse(t, patient)
	for n := range 10 {
		requireRefused(t, w.callbacks[fmt.Sprint("bad", n)], step.RejectedAnswer)
	}
	requireRefused(t, w.rejections["bad10"], step.RejectedCallback)
	requireRefused(t, w.rejections["good"], step.RejectedCallback)
	require.Equal(t, string(fault.Timeout), w.replied(t, 0).Error.Kind)
	require.NoError(t, w.callbacks["good again"], "of another step")
}

// TestCallback_LargeHistory: an unreadable callback leaves room for what the other events of the run need. The first one of a
// step may have most of the history, because the run cannot continue as new before the step has ended.
func TestCallback_LargeHistory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		history   int
		bad, good string // why they are rejected
	}{
		"small":     {4<<20 - 1, step.RejectedAnswer, ""},
		"large":     {4 << 20, step.RejectedAnswer, step.RejectedCallback},
		"too large": {32 << 20, step.RejectedCallback, step.RejectedCallback},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = promise
			w.send(time.Second, requested("e1", plan(callsBack, within(time.Hour))))
			w.RegisterDelayedCallback(func() { w.SetCurrentHistorySize(c.history) }, 2*time.Minute)
			w.callBack(3*time.Minute, "bad", "e1", `"unreadable"`)
			w.callBack(4*time.Minute, "good", "e1", `"done"`)
			w.converse(t, newState())
			outcome := func(id string) error { return errors.Join(w.callbacks[id], w.rejections[id]) }
			requireRefused(t, outcome("bad"), c.bad)
			if c.good == "" {
				require.NoError(t, outcome("good"))
				require.Equal(t, schemas.OutcomeSuccess, w.replied(t, 0).Outcome)
			} else {
				requireRefused(t, outcome("good"), c.good)
			}
		})
	}
}

package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// stateOf is a new conversation of a format.
func stateOf(format step.Format) step.State {
	s := newState()
	s.Format = format
	return s
}

// TestSoftDeadline_FirstAttemptPublishes: with a soft deadline a first attempt is a local activity, which publishes the
// progress message itself. What it leaves undone is the workflow's, at the same moment.
func TestSoftDeadline_FirstAttemptPublishes(t *testing.T) {
	t.Parallel()
	const soft = 5 * time.Second
	replied := func(in step.WebhookInput) step.WebhookResult {
		r := succeed(in, "ok")
		r.ReplyID = "published by the attempt"
		return r
	}
	again := func(in step.WebhookInput, notified bool, retryIn time.Duration) error {
		in.Progress.Notified = notified
		return fail(in, fault.Connect, retryIn)
	}
	type answer = func(n int, in step.WebhookInput) (step.WebhookResult, error)
	for name, c := range map[string]struct {
		format step.Format
		answer answer
		notify []bool // of each call
		want   []string
		after  time.Duration // of the progress message, since the step's begin
	}{
		"attempt answers": {
			step.FormatAttemptPublishes, func(_ int, in step.WebhookInput) (step.WebhookResult, error) { return replied(in), nil },
			[]bool{true}, nil, 0,
		},
		"earlier format": {
			step.FormatInOrder, func(_ int, in step.WebhookInput) (step.WebhookResult, error) { return replied(in), nil },
			[]bool{false}, nil, 0,
		},
		"next attempt after the deadline": {
			step.FormatAttemptPublishes, func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if n == 1 {
					return step.WebhookResult{}, again(in, false, 8*time.Second)
				}
				return succeed(in, "ok"), nil
			},
			[]bool{true, false}, []string{"step.progress", "step.replied"}, soft,
		},
		"next attempt, published": {
			step.FormatAttemptPublishes, func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if n == 1 {
					return step.WebhookResult{}, again(in, true, 8*time.Second)
				}
				return succeed(in, "ok"), nil
			},
			[]bool{true, false}, []string{"step.replied"}, 0,
		},
		"no next attempt": {
			step.FormatAttemptPublishes, func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				return step.WebhookResult{}, again(in, false, 0)
			},
			[]bool{true}, []string{"step.replied"}, 0,
		},
		"slow endpoint": {
			step.FormatAttemptPublishes, func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if n == 1 {
					return step.WebhookResult{AsActivity: true}, nil
				}
				return step.WebhookResult{}, again(in, false, 0)
			},
			[]bool{true, false}, []string{"step.replied"}, 0,
		},
		"endpoint that never calls back": {
			step.FormatAttemptPublishes, func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				return step.WebhookResult{CallsBack: true}, nil
			},
			[]bool{true}, []string{"step.progress", "step.replied"}, soft,
		},
		"endpoint that never calls back, published": {
			step.FormatAttemptPublishes, func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				return step.WebhookResult{CallsBack: true, Notified: true}, nil
			},
			[]bool{true}, []string{"step.replied"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = c.answer
			p := plan(progressAfter(soft))
			p.Dialect = bot.DialectPlain
			began := time.Time{}
			w.send(time.Second, requested("e1", p))
			w.RegisterDelayedCallback(func() { began = w.Now() }, time.Second)
			w.converse(t, stateOf(c.format))
			var notify []bool
			for _, in := range w.calls {
				notify = append(notify, in.Notify)
			}
			require.Equal(t, c.notify, notify)
			require.Equal(t, append(c.want, "conversation.closed"), w.types())
			if c.after > 0 {
				require.Equal(t, c.after, w.replies[0].Time.Sub(began).Round(time.Second))
			}
		})
	}
}

// TestSoftDeadline_SlowEndpoint: an attempt that was moved to an activity leaves the deadline to the workflow.
func TestSoftDeadline_SlowEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		switch n {
		case 1:
			return step.WebhookResult{AsActivity: true}, nil
		case 2:
			return step.WebhookResult{}, fail(in, fault.Connect, 8*time.Second)
		}
		return succeed(in, "ok"), nil
	}
	w.send(time.Second, requested("e1", plan(progressAfter(5*time.Second))))
	w.converse(t, stateOf(step.FormatAttemptPublishes))
	require.Equal(t, []string{"step.progress", "step.replied", "conversation.closed"}, w.types())
}

// TestClosing_Once: conversation.closed is published once, with the reply or by the workflow, under the id of the latest event.
func TestClosing_Once(t *testing.T) {
	t.Parallel()
	byAttempt := func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "ok")
		r.ReplyID, r.Closed = "published by the attempt", in.Closes(in.Replied(r, nil))
		return r, nil
	}
	refused := func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "ok")
		r.ReplyID = "published by the attempt"
		return r, nil
	}
	handover := func(p *bot.Plan) { p.OnFailure = bot.OnFailureHandover }
	for name, c := range map[string]struct {
		format    step.Format
		answer    func(n int, in step.WebhookInput) (step.WebhookResult, error)
		plan      func(*bot.Plan)
		keepsOpen bool
		want      []string
		reason    string
	}{
		"by the attempt":  {step.FormatAttemptPublishes, byAttempt, endStep, false, nil, schemas.ClosedCompleted},
		"attempt cannot":  {step.FormatAttemptPublishes, refused, endStep, false, []string{"conversation.closed"}, schemas.ClosedCompleted},
		"with the reply":  {step.FormatAttemptPublishes, nil, endStep, false, []string{"step.replied", "conversation.closed"}, schemas.ClosedCompleted},
		"after the reply": {step.FormatAttemptPublishes, nil, endStep, true, []string{"step.replied", "conversation.closed"}, schemas.ClosedCompleted},
		"earlier format":  {step.FormatInOrder, nil, endStep, false, []string{"step.replied", "conversation.closed"}, schemas.ClosedCompleted},
		"handover by failing": {
			step.FormatAttemptPublishes, func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				return step.WebhookResult{}, fail(in, fault.Connect, 0)
			}, handover, false, []string{"step.replied", "conversation.closed"}, schemas.ClosedHandover,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer, w.keepsOpen = c.answer, c.keepsOpen
			w.send(time.Second, requested("e1", plan(c.plan, requires("order"))))
			w.send(2*time.Minute, collected("e2", "order"))
			w.converse(t, stateOf(c.format))
			require.Equal(t, append([]string{"step.waiting"}, c.want...), w.types())
			require.Equal(t, c.reason, w.results["e2"].Closed)
			if wanted := c.format >= step.FormatAttemptPublishes; wanted {
				require.Equal(t, "e2", w.calls[0].CloseEvent)
			} else {
				require.Empty(t, w.calls[0].CloseEvent)
			}
			var result step.ConversationResult
			require.NoError(t, w.GetWorkflowResult(&result))
			require.Equal(t, c.reason, result.Reason)
			if len(c.want) == 0 {
				return
			}
			closed := w.replies[len(w.replies)-1]
			require.Equal(t, schemas.ReplyID(newState().ConversationKey, "e2", schemas.TypeConversationClosed), closed.ID)
			var data schemas.ConversationClosed
			require.NoError(t, json.Unmarshal(closed.Data, &data))
			require.Equal(t, c.reason, data.Reason)
			require.NotEmpty(t, data.Workflow.RunID)
		})
	}
}

package workflows_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// slow makes every webhook take a time of the test's clock.
func (w *world) slow(takes time.Duration) {
	w.OnActivity(step.ActivityWebhook, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in step.WebhookInput) (step.WebhookResult, error) { return w.webhook(ctx, in) },
	).After(takes)
}

func progressAfter(soft time.Duration) func(*bot.Plan) {
	return func(p *bot.Plan) {
		p.Webhook.ProgressAfter = bot.Duration(soft)
		p.Webhook.ProgressMessage = bot.Texts{"default": "One moment.", "hi": "Ek minute."}
	}
}

// byActivity makes even the first attempt a normal activity, so that the workflow watches the soft deadline.
func byActivity(p *bot.Plan) { p.Webhook.Execution = bot.ExecutionActivity }

func publishLate(p *bot.Plan) { p.Webhook.LateAnswer = bot.LateAnswerPublish }

func within(timeout time.Duration) func(*bot.Plan) {
	return func(p *bot.Plan) { p.Webhook.Timeout = bot.Duration(timeout) }
}

func TestLatency_ProgressAtSoftDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes time.Duration
		want  []string
	}{
		"before it":      {4 * time.Second, []string{"step.replied"}},
		"after it":       {8 * time.Second, []string{"step.progress", "step.replied"}},
		"no time at all": {0, []string{"step.replied"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.slow(c.takes)
			asked := requested("e1", plan(progressAfter(5*time.Second), byActivity))
			asked.Event.Data.User = &schemas.User{Language: "hi-IN"}
			w.send(time.Second, asked)
			w.converse(t, newState())
			require.Equal(t, append(c.want, "conversation.closed"), w.types())
			if len(c.want) == 1 {
				return
			}
			var progress schemas.StepProgress
			require.NoError(t, json.Unmarshal(w.replies[0].Data, &progress))
			require.Equal(t, []schemas.Message{schemas.Text("Ek minute.")}, progress.Messages)
			require.Equal(t, "e1", progress.EventID)
			require.Equal(t, c.takes-5*time.Second, w.replies[1].Time.Sub(w.replies[0].Time).Round(time.Second))
		})
	}
}

func TestLatency_LateAnswerHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(14 * time.Second)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		r := succeed(in, "answer to "+in.Event.ID)
		r.ConversationDetails = json.RawMessage(`{"late":true}`)
		return r, nil
	}
	w.send(time.Second, requested("e1", plan(within(10*time.Second), publishLate)))
	w.send(2*time.Second, ended("e2", "left"))
	w.converse(t, newState())
	require.Equal(t, []string{"step.replied", "conversation.closed", "step.late"}, w.types())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
	require.Equal(t, "timeout", r.Error.Kind)
	var late schemas.StepReplied
	require.NoError(t, json.Unmarshal(w.replies[2].Data, &late))
	require.Equal(t, schemas.OutcomeSuccess, late.Outcome)
	require.Equal(t, "answer to e1", late.Messages[0].Text)
	require.NotEqual(t, w.replies[0].ID, w.replies[2].ID)
}

func TestLatency_AnswerInTimeIsNotLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.slow(3 * time.Second)
	w.send(time.Second, requested("e1", plan(within(10*time.Second), publishLate)))
	w.converse(t, newState())
	require.Equal(t, []string{"step.replied", "conversation.closed"}, w.types())
	require.Equal(t, schemas.OutcomeSuccess, w.replied(t, 0).Outcome)
}

package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestConversation_RepliesCarryWhenTheEventWasStored: a repeated task looks for each message that it may have published before,
// since the event was stored by the clock of NATS. The engine's clock may be ahead.
func TestConversation_RepliesCarryWhenTheEventWasStored(t *testing.T) {
	t.Parallel()
	stored := time.Date(2026, 11, 20, 11, 50, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		events []step.Delivery
		opens  bool // the workflow publishes the close
		want   map[string]time.Time
	}{
		"closed by a step": {[]step.Delivery{requested("e1", plan(endStep))}, true,
			map[string]time.Time{schemas.TypeStepReplied: stored, schemas.TypeConversationClosed: stored}},
		"closed by the engine": {[]step.Delivery{ended("e1", "")}, false,
			map[string]time.Time{schemas.TypeConversationClosed: stored}},
		"idle": {[]step.Delivery{requested("e1", plan())}, false,
			map[string]time.Time{schemas.TypeStepReplied: stored, schemas.TypeConversationClosed: stored.Add(idle)}},
		"waiting, then idle": {[]step.Delivery{requested("e1", plan(requires("otp")))}, false, map[string]time.Time{
			schemas.TypeStepWaiting: stored, schemas.TypeStepReplied: stored, schemas.TypeConversationClosed: stored.Add(idle)}},
		"waiting, then run": {[]step.Delivery{requested("e1", plan(requires("otp"))), collected("e2", "otp"), ended("e3", "")}, false,
			map[string]time.Time{schemas.TypeStepWaiting: stored, schemas.TypeStepReplied: stored,
				schemas.TypeConversationClosed: stored.Add(2 * time.Minute)}},
		"not known": {[]step.Delivery{requested("e1", plan(endStep))}, true,
			map[string]time.Time{schemas.TypeStepReplied: stored.Add(10 * time.Minute),
				schemas.TypeConversationClosed: stored.Add(10 * time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.keepsOpen = c.opens
			sent := map[string]time.Time{}
			w.refuse = func(_ int, in step.PublishInput) error { sent[in.Reply.Type] = in.Sent.UTC(); return nil }
			for n, d := range c.events {
				after := time.Duration(n) * time.Minute
				if name != "not known" {
					d.Stored = stored.Add(after)
				}
				w.send(time.Second+after, d)
			}
			w.converse(t, newState())
			require.Equal(t, c.want, sent)
			for _, call := range w.calls {
				require.Equal(t, c.want[schemas.TypeStepReplied], call.Since().UTC())
			}
		})
	}
}

// TestConversation_FailureThatWasReadIsNotPublishedAgain: a repeated attempt has found the failed end of its step. The activity
// that publishes it knows that it is stored, and the conversation follows the one that is.
func TestConversation_FailureThatWasReadIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"by the first attempt": true, "by another attempt": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if !first && n == 1 {
					return step.WebhookResult{}, fail(in, fault.Timeout, time.Second)
				}
				p := step.Progress{Attempts: []schemas.Attempt{{N: 1}}, Fault: fault.New(fault.Timeout, "slow"), Replied: true}
				return step.WebhookResult{}, temporal.NewApplicationErrorWithOptions("found", string(fault.Timeout),
					temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{p}})
			}
			var published []step.PublishInput
			w.refuse = func(_ int, in step.PublishInput) error { published = append(published, in); return nil }
			w.send(time.Second, requested("e1", plan(func(p *bot.Plan) { p.OnFailure = bot.OnFailureHandover })))
			w.send(time.Minute, requested("e2", plan()))
			w.converse(t, newState())
			require.Equal(t, schemas.OutcomeHandover, w.replied(t, 0).Outcome)
			require.True(t, published[0].Replied)
		})
	}
}

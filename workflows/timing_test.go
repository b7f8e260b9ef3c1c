package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestConversation_TimingOfReplies checks what the metrics of a step are made from: the time at which its event was
// accepted, also when the step waited for its turn.
func TestConversation_TimingOfReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
		if n == 1 {
			return step.WebhookResult{}, fail(in, fault.Timeout, 5*time.Second)
		}
		return succeed(in, "hello"), nil
	}
	var timings []*step.Timing
	w.refuse = func(_ int, in step.PublishInput) error {
		timings = append(timings, in.Timing)
		return nil
	}
	unknown := requested("e3", plan())
	unknown.Plan, unknown.Refused = nil, fault.New(fault.UnknownStep, "no step")
	w.send(1*time.Second, requested("e1", plan()))
	w.send(2*time.Second, requested("e2", plan()))
	w.send(20*time.Second, unknown)
	w.converse(t, newState())

	require.Len(t, w.calls, 3)
	require.Equal(t, w.calls[0].Accepted, w.calls[0].Arrived)
	require.Equal(t, w.calls[0].Arrived.Add(time.Second), w.calls[2].Arrived)
	require.GreaterOrEqual(t, w.calls[2].Accepted.Sub(w.calls[2].Arrived), 3*time.Second, "the second step waited for the first")

	byOutcome := map[schemas.Outcome][]*step.Timing{}
	for _, timing := range timings {
		if timing != nil {
			byOutcome[timing.Outcome] = append(byOutcome[timing.Outcome], timing)
		}
	}
	require.Len(t, byOutcome[schemas.OutcomeSuccess], 2)
	second := byOutcome[schemas.OutcomeSuccess][1]
	require.Equal(t, w.calls[2].Arrived, second.Accepted)
	require.Equal(t, w.calls[2].Plan.Step, second.Step)
	require.Equal(t, w.calls[2].Plan.Webhook.Timeout, second.Timeout)
	require.Len(t, byOutcome[schemas.OutcomeRejected], 1)
	require.Empty(t, byOutcome[schemas.OutcomeRejected][0].Step, "the engine's name of an unknown step is not a label")
}

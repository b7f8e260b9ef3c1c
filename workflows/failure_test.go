package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestFailureResponse_Closes: a failure response that names the end of the conversation closes it. Runs of earlier formats
// stay open, as they have it in their histories.
func TestFailureResponse_Closes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		format               step.Format
		named, state, reason string
		byEvent              string // why the event closes the conversation
	}{
		"handover": {
			step.FormatFailureCloses, schemas.ConversationHandover, schemas.ConversationHandover, schemas.ClosedHandover,
			schemas.ClosedHandover,
		},
		"complete": {
			step.FormatFailureCloses, schemas.ConversationComplete, schemas.ConversationComplete, schemas.ClosedCompleted,
			schemas.ClosedCompleted,
		},
		"open":   {step.FormatFailureCloses, schemas.ConversationOpen, schemas.ConversationOpen, schemas.ClosedIdle, ""},
		"absent": {step.FormatFailureCloses, "", schemas.ConversationOpen, schemas.ClosedIdle, ""},
		"earlier format": {
			step.FormatScriptAttempt, schemas.ConversationHandover, schemas.ConversationOpen, schemas.ClosedIdle, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
				r := succeed(in, "I connect you with a person")
				r.Success, r.Conversation = false, tc.named
				return r, nil
			}
			w.send(time.Second, requested("e1", plan(endStep)))
			w.converse(t, stateOf(tc.format))
			require.Equal(t, []string{"step.replied", "conversation.closed"}, w.types())
			r := w.replied(t, 0)
			require.Equal(t, schemas.OutcomeFailure, r.Outcome)
			require.Equal(t, "I connect you with a person", r.Messages[0].Text)
			require.Equal(t, tc.state, r.Conversation)
			require.Equal(t, tc.byEvent, w.results["e1"].Closed)
			var closed schemas.ConversationClosed
			require.NoError(t, json.Unmarshal(w.replies[1].Data, &closed))
			require.Equal(t, tc.reason, closed.Reason)
			require.Equal(t, tc.format >= step.FormatFailureCloses, w.calls[0].FailureCloses, "the attempt follows the same rule")
		})
	}
}

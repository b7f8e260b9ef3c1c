package step

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/schemas"
)

// TestReplied_FailureNamesState: a failure response sets the state of the conversation that it names, in runs of
// FormatFailureCloses. The step's end_step closes a conversation after a success only.
func TestReplied_FailureNamesState(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		named, state, closes string
	}{
		{"", schemas.ConversationOpen, ""},
		{schemas.ConversationOpen, schemas.ConversationOpen, ""},
		{schemas.ConversationComplete, schemas.ConversationComplete, schemas.ClosedCompleted},
		{schemas.ConversationHandover, schemas.ConversationHandover, schemas.ClosedHandover},
	} {
		for _, closes := range []bool{false, true} {
			in := WebhookInput{FailureCloses: closes}
			in.Plan.EndStep = true
			answer := WebhookResult{Answer: dialect.Answer{
				Conversation: tc.named, Messages: []schemas.Message{schemas.Text("I connect you with a person")},
			}}
			r := in.Replied(answer, nil)
			require.Equal(t, schemas.OutcomeFailure, r.Outcome)
			require.Equal(t, answer.Messages, r.Messages)
			want, reason := tc.state, tc.closes
			if !closes {
				want, reason = schemas.ConversationOpen, ""
			}
			require.Equal(t, want, r.Conversation, "%q, %t", tc.named, closes)
			require.Equal(t, reason, in.Closes(r), "%q, %t", tc.named, closes)

			adopted, failed := in.Adopt(r)
			require.Nil(t, failed)
			require.Equal(t, r, in.Replied(adopted, nil), "a repeated attempt adopts the state with the reply")
		}
	}
}

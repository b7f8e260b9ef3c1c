package step

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestAddress_ReplyTooLarge: what no message can hold is published in the fullest form that fits. The end of a step is left
// to its caller.
func TestAddress_ReplyTooLarge(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", schemas.MessageMax-100)
	messages := []schemas.Message{schemas.Text(long)}
	attempts, huge := []schemas.Attempt{{N: 1}}, []schemas.Attempt{{N: 1, URL: long}}
	failed := WithoutContent(schemas.StepReplied{EventID: "e1", Attempts: attempts})
	bare := WithoutContent(schemas.StepReplied{EventID: "e1"})
	const replied, late, progress = schemas.TypeStepReplied, schemas.TypeStepLate, schemas.TypeStepProgress
	for name, tc := range map[string]struct {
		replyType  string
		data, want any
	}{
		"fits":            {late, schemas.StepReplied{EventID: "e1", Attempts: attempts}, schemas.StepReplied{EventID: "e1", Attempts: attempts}},
		"long answer":     {late, schemas.StepReplied{EventID: "e1", Messages: messages, Attempts: attempts}, failed},
		"long attempts":   {late, schemas.StepReplied{EventID: "e1", Attempts: huge}, schemas.StepReplied{EventID: "e1"}},
		"both":            {late, schemas.StepReplied{EventID: "e1", Messages: messages, Attempts: huge}, bare},
		"progress":        {progress, schemas.StepProgress{EventID: "e1", Messages: messages}, schemas.StepProgress{EventID: "e1"}},
		"end of the step": {replied, schemas.StepReplied{EventID: "e1", Messages: messages}, schemas.StepReplied{EventID: "e1", Messages: messages}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := Address{ConversationKey: schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"),
				Event: schemas.Event{ID: "e1"}}
			in, err := to.Reply(tc.replyType, time.Now(), tc.data)
			require.NoError(t, err)
			want, err := json.Marshal(tc.want)
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(in.Reply.Data))
			require.Equal(t, to.ReplyID(tc.replyType), in.Reply.ID)
			require.Equal(t, tc.replyType, in.Reply.Type)
		})
	}
}

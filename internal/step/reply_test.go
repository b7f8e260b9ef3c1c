package step

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// TestAddress_RepeatedStepHasOneReply: the engine has the hookturn.step.replied of a step that is repeated or replayed. It
// gets the end, as a late answer, and nothing before it.
func TestAddress_RepeatedStepHasOneReply(t *testing.T) {
	t.Parallel()
	event := schemas.Event{ID: "e-1"}
	for name, tc := range map[string]struct {
		event  schemas.Event
		repeat bool
	}{"first": {event, false}, "repeated": {event.Repeat(1), true}, "replayed": {event.Replay(), true}} {
		to := Address{ConversationKey: schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1"), Event: tc.event}
		for _, reply := range []struct {
			replyType string
			data      any
			before    bool // comes before the end
		}{
			{schemas.TypeStepReplied, schemas.StepReplied{Outcome: schemas.OutcomeSuccess}, false},
			{schemas.TypeStepReplied, schemas.StepReplied{Outcome: schemas.OutcomeRejected}, false},
			{schemas.TypeStepReplied, schemas.StepReplied{Outcome: schemas.OutcomeAccepted}, true},
			{schemas.TypeStepProgress, schemas.StepProgress{}, true},
		} {
			in, err := to.Reply(reply.replyType, time.Now(), reply.data)
			require.NoError(t, err, name)
			require.Equal(t, tc.repeat && reply.before, in.Withheld, "%s: %v", name, reply)
			if reply.replyType == schemas.TypeStepReplied {
				require.Equal(t, tc.repeat, in.Reply.Type == schemas.TypeStepLate, "%s: %v", name, reply)
				require.Equal(t, to.ReplyID(schemas.TypeStepReplied), in.Reply.ID)
			}
		}
	}
}

// TestRejected_Text: the data of a rejection is the same whichever component publishes it.
func TestRejected_Text(t *testing.T) {
	t.Parallel()
	f, order := fault.New(fault.UnknownBot, "no such bot"), schemas.Event{ID: "e-1", Data: schemas.EventData{Step: "ORDER"}}
	for _, tc := range []struct {
		event schemas.Event
		want  string
	}{
		{schemas.Event{ID: "e-1"}, `{"event_id":"e-1","step":"",`},
		{order.Repeat(1), `{"event_id":"e-1","step":"ORDER",`},
	} {
		text, err := schemas.Marshal(Rejected(tc.event, f))
		require.NoError(t, err)
		require.Equal(t, tc.want+`"outcome":"rejected","messages":[],"conversation":"open",`+
			`"error":{"kind":"unknown_bot","message":"no such bot"},"attempts":[],"workflow":{"id":"","run_id":""}}`, string(text))
		left := Rejected(tc.event, f)
		left.Conversation = ""
		without, err := schemas.Marshal(left)
		require.NoError(t, err)
		require.Equal(t, string(text), string(without))
	}
}

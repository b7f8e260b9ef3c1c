package intake_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// TestIntake_Full: an event that is answered without its turn has one answer with queue_full, or becomes a dead letter.
// Temporal is not asked.
func TestIntake_Full(t *testing.T) {
	t.Parallel()
	elsewhere := requested("shop")
	elsewhere.Conversation = "c-43"
	binary := inBinaryMode("shop", `{"step":"ORDER"}`)
	binary.Header["ce-note"] = []string{"100%"}
	for name, tc := range map[string]struct {
		message  *eventreader.Message
		answered bool
	}{
		"step":            {requested("shop"), true},
		"message":         {message("shop", schemas.TypeMessageReceived, `{"message":{"type":"text"}}`), true},
		"session event":   {message("shop", schemas.TypeConversationEvent, `{"event":{"type":"x"}}`), true},
		"handover":        {message("shop", schemas.TypeConversationHandover, `{}`), true},
		"unknown bot":     {requested("unknown"), true},
		"bad data":        {message("shop", schemas.TypeStepRequested, `{"step":7}`), true},
		"bad attribute":   {binary, true},
		"entities":        {message("shop", schemas.TypeEntitiesCollected, `{"entities":{}}`), false},
		"end":             {message("shop", schemas.TypeConversationEnded, `{}`), false},
		"replayed":        {replay(requested("shop")), false},
		"repeated":        {repeat(requested("shop")), false},
		"other subject":   {elsewhere, false},
		"no event at all": {&eventreader.Message{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Data: []byte("{")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _ := setup(t)
			sent := &replies{}
			in.Replies = sent
			for range 2 { // an acknowledgement may be lost
				outcome := in.Full(t.Context(), tc.message)
				tc.message.Deliveries = 2
				if !tc.answered {
					verdict(t, outcome, fault.QueueFull, false)
					continue
				}
				require.Equal(t, eventreader.Ack(), outcome)
			}
			if !tc.answered {
				require.Empty(t, sent.published)
				return
			}
			require.Len(t, sent.published, 1)
			var data schemas.StepReplied
			require.NoError(t, json.Unmarshal(sent.published[0].Data, &data))
			require.Equal(t, "e1", data.EventID)
			require.Equal(t, schemas.OutcomeRejected, data.Outcome)
			require.Equal(t, string(fault.QueueFull), data.Error.Kind)
		})
	}
}

// TestIntake_FullWithoutNATS: an answer that cannot be published is tried again.
func TestIntake_FullWithoutNATS(t *testing.T) {
	t.Parallel()
	in, _ := setup(t)
	in.Replies = &replies{fail: errors.New("away")}
	verdict(t, in.Full(t.Context(), requested("shop")), "", true)
}

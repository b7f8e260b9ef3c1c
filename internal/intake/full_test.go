package intake_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/schemas"
)

// TestIntake_Full: an event that is answered without its turn has one answer with queue_full, or becomes a dead letter.
// Temporal is not asked.
func TestIntake_Full(t *testing.T) {
	t.Parallel()
	elsewhere := intaketest.Requested("shop")
	elsewhere.Conversation = "c-43"
	binary := inBinaryMode("shop", `{"step":"ORDER"}`)
	binary.Header["ce-note"] = []string{"100%"}
	for name, tc := range map[string]struct {
		message  *eventreader.Message
		answered bool
	}{
		"step":            {intaketest.Requested("shop"), true},
		"message":         {intaketest.Message("shop", schemas.TypeMessageReceived, `{"message":{"type":"text"}}`), true},
		"session event":   {intaketest.Message("shop", schemas.TypeConversationEvent, `{"event":{"type":"x"}}`), true},
		"handover":        {intaketest.Message("shop", schemas.TypeConversationHandover, `{}`), true},
		"unknown bot":     {intaketest.Requested("unknown"), true},
		"bad data":        {intaketest.Message("shop", schemas.TypeStepRequested, `{"step":7}`), true},
		"bad attribute":   {binary, true},
		"entities":        {intaketest.Message("shop", schemas.TypeEntitiesCollected, `{"entities":{}}`), false},
		"end":             {intaketest.Message("shop", schemas.TypeConversationEnded, `{}`), false},
		"replayed":        {replay(intaketest.Requested("shop")), false},
		"repeated":        {repeat(intaketest.Requested("shop")), false},
		"other subject":   {elsewhere, false},
		"no event at all": {&eventreader.Message{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Data: []byte("{")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _ := intaketest.Setup(t)
			sent := &intaketest.Replies{}
			in.Answers.Replies = sent
			for range 2 { // an acknowledgement may be lost
				outcome := in.Full(t.Context(), tc.message)
				tc.message.Deliveries = 2
				if !tc.answered {
					intaketest.RequireOutcome(t, outcome, fault.QueueFull, false)
					continue
				}
				require.Equal(t, eventreader.Ack(), outcome)
			}
			if !tc.answered {
				require.Empty(t, sent.Published)
				return
			}
			require.Len(t, sent.Published, 1)
			var data schemas.StepReplied
			require.NoError(t, json.Unmarshal(sent.Published[0].Data, &data))
			require.Equal(t, "e1", data.EventID)
			require.Equal(t, schemas.OutcomeRejected, data.Outcome)
			require.Equal(t, string(fault.QueueFull), data.Error.Kind)
		})
	}
}

// TestIntake_FullWithoutNATS: an answer that cannot be published is tried again.
func TestIntake_FullWithoutNATS(t *testing.T) {
	t.Parallel()
	in, _ := intaketest.Setup(t)
	in.Answers.Replies = &intaketest.Replies{Fail: errors.New("away")}
	intaketest.RequireOutcome(t, in.Full(t.Context(), intaketest.Requested("shop")), "", true)
}

package step_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Runs that are open during an upgrade read these payloads: the members of the identity are flat, not nested.
func TestPayloads_IdentityIsFlat(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c 1")
	for want, payload := range map[string]any{
		`{"tenant":"acme","bot":"shop","conversation":"c 1","idle_timeout":"0s","last_event_id":"e1","user":{}}`: step.State{
			ConversationKey: key, LastEventID: "e1",
		},
		`{"tenant":"acme","bot":"shop","step":"NOTIFY"}`: step.Queue{BotID: key.BotID, Step: "NOTIFY"},
		`{"script":{"id":"r1","plan":{"tenant":"acme","bot":"shop","step":"hook","dialect":"channel","on_failure":""},` +
			`"channel":"ch","timeout":"0s","params":null}}`: step.Request{Script: func() *step.ScriptRun {
			run := &step.ScriptRun{ID: "r1", Channel: "ch"}
			run.Plan.BotID, run.Plan.Step, run.Plan.Dialect = key.BotID, "hook", "channel"
			return run
		}()},
	} {
		text, err := json.Marshal(payload)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
	text, err := json.Marshal(step.PublishInput{BotID: key.BotID})
	require.NoError(t, err)
	require.Contains(t, string(text), `{"tenant":"acme","bot":"shop","reply":{`)
	text, err = json.Marshal(step.Request{ConversationKey: key})
	require.NoError(t, err)
	require.Equal(t, `{"tenant":"acme","bot":"shop","conversation":"c 1"}`, string(text))
}

// TestPayloads_AnswerIsFlat: histories hold the dialect's answer as members of the activity's result, not nested. What is to
// be merged into the user's store does not leave the activity.
func TestPayloads_AnswerIsFlat(t *testing.T) {
	t.Parallel()
	size := "M"
	answer := dialect.Answer{
		Success: true, Messages: []schemas.Message{schemas.Text("Hi")}, Variables: map[string]*string{"size": &size, "old": nil},
		ConversationDetails: json.RawMessage(`{"a":1}`), UserDetailsUpdate: json.RawMessage(`{"never":"stored"}`),
		Conversation: schemas.ConversationComplete, Output: json.RawMessage(`{"b":2}`), Problem: fault.New(fault.TooLarge, "big"),
	}
	members := `"success":true,"messages":[{"type":"text","text":"Hi"}],"variables":{"old":null,"size":"M"},` +
		`"details":{"a":1},"conversation":"complete","output":{"b":2},"problem":{"kind":"too_large","message":"big"}`
	for want, payload := range map[string]any{
		`{` + members + `,"calls_back":true,"user_details":{"c":3}}`: step.WebhookResult{
			Answer: answer, CallsBack: true, UserDetails: json.RawMessage(`{"c":3}`),
		},
		`{` + members + `,"log":"line"}`: step.CodeResult{WebhookResult: step.WebhookResult{Answer: answer}, Log: "line"},
		`{"success":false}`:              step.WebhookResult{},
	} {
		text, err := json.Marshal(payload)
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
	}
	text, err := json.Marshal(step.State{ConversationDetails: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	require.Contains(t, string(text), `"details":{"a":1}`)
	text, err = json.Marshal(step.WebhookInput{ConversationDetails: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	require.Contains(t, string(text), `"details":{"a":1}`)
}

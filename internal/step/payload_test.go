package step_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

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

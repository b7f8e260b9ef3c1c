package intake_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const helpdesk = `bot: helpdesk
dialect: twoway
adapters:
  robot: {account: "1", is_bot: true, message_endpoint: {url: "https://robot.example/m"}}
  agents:
    account: "1"
    message_endpoint: {url: "https://agents.example/m"}
    handover_endpoint: {url: "https://agents.example/h"}
    events_endpoint: {url: "https://agents.example/e"}
    extra_message_types: [media]
`

const crowd = `bot: crowd
dialect: twoway
adapters:
  a: {account: "1", is_bot: true, message_endpoint: {url: "https://a.example/m"}}
  b: {account: "1", is_bot: true, message_endpoint: {url: "https://b.example/m"}}
  c: {account: "1", handover_endpoint: {url: "https://c.example/h"}}
`

// TestIntake_Adapters holds to which adapter an event goes, and which other ways its delivery carries.
func TestIntake_Adapters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"helpdesk": helpdesk, "crowd": crowd, "shop": intaketest.Ordered} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600))
	}
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	const text, media = `{"message":{"type":"text","text":"x"}}`, `{"message":{"type":"media"}}`
	for name, tc := range map[string]struct {
		bot, eventType, data string
		to, refused          string // the adapter, or part of the reason
		ways                 []string
	}{
		"the bot's side": {"helpdesk", schemas.TypeMessageReceived, text, "robot", "", []string{"agents", "robot"}},
		"named": {"helpdesk", schemas.TypeMessageReceived, `{"message":{"type":"text","text":"x"},"adapter":"agents"}`,
			"agents", "", nil},
		"named, unknown": {"helpdesk", schemas.TypeMessageReceived, `{"message":{"type":"text","text":"x"},"adapter":"z"}`,
			"", `has no adapter "z"`, nil},
		"only one takes it": {"helpdesk", schemas.TypeMessageReceived, media, "agents", "", []string{"agents"}},
		"a type in another case": {"helpdesk", schemas.TypeMessageReceived, `{"message":{"type":"odd","Type":"text"}}`, "",
			"extra_message_types", nil},
		"a type without an adapter": {"helpdesk", schemas.TypeMessageReceived, `{"message":{"type":"odd"}}`, "", "extra_message_types", nil},
		"named, not its type": {"helpdesk", schemas.TypeMessageReceived, `{"message":{"type":"media"},"adapter":"robot"}`,
			"", `no messages of the type "media"`, nil},
		"a handover":           {"helpdesk", schemas.TypeConversationHandover, `{}`, "agents", "", []string{"agents"}},
		"a session event":      {"helpdesk", schemas.TypeConversationEvent, `{"event":{"type":"x"}}`, "agents", "", []string{"agents"}},
		"named, no endpoint":   {"helpdesk", schemas.TypeConversationEvent, `{"event":{"type":"x"},"adapter":"robot"}`, "", "no endpoint for", nil},
		"two of the same side": {"crowd", schemas.TypeMessageReceived, text, "", "several adapters", []string{"a", "b"}},
		"no such endpoint":     {"crowd", schemas.TypeConversationEvent, `{"event":{"type":"x"}}`, "", "no endpoint for", nil},
		"an unknown channel": {"helpdesk", schemas.TypeMessageReceived,
			`{"message":{"type":"text","text":"x"},"params":{"channel":"whatsapp"}}`, "", "/data/params/channel: it must be one of", nil},
		"a channel of no text": {"helpdesk", schemas.TypeConversationEvent,
			`{"event":{"type":"x"},"params":{"channel":7}}`, "", "/data/params/channel: it must be a string", nil},
		"a known channel": {"helpdesk", schemas.TypeConversationHandover, `{"params":{"channel":"WhatsApp"}}`, "agents", "",
			[]string{"agents"}},
		"an adapter that is misspelt": {"helpdesk", schemas.TypeMessageReceived,
			`{"message":{"type":"text","text":"x"},"adapter":"agent"}`, "", "did you mean agents?", nil},
		"a bot without any": {"shop", schemas.TypeMessageReceived, text, "", "has no adapter", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, c := intaketest.Setup(t)
			intaketest.SetBots(in, set)
			var sent step.Delivery
			intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				sent = intaketest.Delivered(o.UpdateOptions)
				return intaketest.UpdateHandle(nil), nil
			})
			intaketest.RequireOutcome(t, in.Handle(t.Context(), intaketest.Message(tc.bot, tc.eventType, tc.data)), "", false)
			if tc.refused != "" {
				require.NotNil(t, sent.Refused)
				require.Contains(t, sent.Refused.Message, tc.refused)
			} else {
				require.Nil(t, sent.Refused)
				require.Equal(t, tc.to, sent.Plan.Adapter.Name)
			}
			require.Equal(t, tc.ways, slices.Sorted(maps.Keys(sent.Adapters)))
		})
	}
}

package dispatch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestDispatcher_Visibility: the bot file decides which ids of people the search attributes and summaries of its runs show.
func TestDispatcher_Visibility(t *testing.T) {
	t.Parallel()
	const id = "+31 612345678"
	token := schemas.ConversationToken(id)
	cases := map[string]struct{ keys, conversation, user string }{
		"default": {"", id, "u-7"},
		"hidden":  {"visibility: {user: false, conversation: token}\n", token, ""},
		"no user": {"visibility: {user: false}\n", id, ""},
	}
	for name, c := range cases {
		for _, text := range []string{intaketest.Ordered, intaketest.Unordered} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in, temporalClient := intaketest.Setup(t)
				dir := t.TempDir()
				require.NoError(t, os.WriteFile(filepath.Join(dir, text[5:9]+".yaml"), []byte(text+c.keys), 0o600))
				set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
				require.NoError(t, err)
				intaketest.SetBots(in, set)
				var start client.StartWorkflowOptions
				keep := func(at int) func(mock.Arguments) {
					return func(args mock.Arguments) { start, _ = args[at].(client.StartWorkflowOptions) }
				}
				temporalClient.On("NewWithStartWorkflowOperation", mock.Anything, mock.Anything, mock.Anything).Run(keep(0)).Return(nil).Maybe()
				temporalClient.On("UpdateWithStartWorkflow", mock.Anything, mock.Anything).Return(intaketest.UpdateHandle(nil), nil).Maybe()
				temporalClient.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Run(keep(1)).
					Return(nil, nil).Maybe()
				m := intaketest.Message(text[5:9], schemas.TypeStepRequested, `{"step":"ORDER","user":{"id":"u-7"}}`)
				m.Conversation, m.Received = token, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // the event's own time
				m.Data = []byte(`{"specversion":"1.0","id":"e1","source":"/x","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",` +
					`"subject":"` + id + `","data":{"step":"ORDER","user":{"id":"u-7"}}}`)
				intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)

				got, _ := start.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(step.AttributeConversation))
				require.Equal(t, c.conversation, got)
				user, _ := start.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(step.AttributeUser))
				require.Equal(t, c.user, user)
				if c.conversation != id {
					require.NotContains(t, start.StaticSummary, id)
				}
			})
		}
	}
}

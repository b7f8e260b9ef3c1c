package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/schemas"
)

// eventIDs returns the ids of the events whose replies a command printed, one document a line.
func eventIDs(t *testing.T, printed string) []string {
	t.Helper()
	var ids []string
	for _, line := range lines(printed) {
		var r struct{ Data schemas.StepReplied }
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		ids = append(ids, r.Data.EventID)
	}
	return ids
}

func TestTail_PrintsWhatItsFlagsChoose(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	for i, key := range []schemas.ConversationKey{
		schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "default", Bot: "bank"}.WithConversation("c-1"),
		schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c 2"),
	} {
		require.NoError(t, n.replied(testContext(t), key, fmt.Sprint("e-", i)))
	}
	for name, c := range map[string]struct {
		flags []string
		want  []string
	}{
		"all":          {nil, []string{"e-0", "e-1", "e-2", "later"}},
		"tenant":       {[]string{"--tenant", "acme"}, []string{"e-2", "later"}},
		"bot":          {[]string{"--bot", "shop"}, []string{"e-0", "e-2", "later"}},
		"conversation": {[]string{"--conversation", "c 2"}, []string{"e-2", "later"}},
		"together":     {[]string{"--tenant", "acme", "--bot", "shop", "--conversation", "c 2"}, []string{"e-2", "later"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{env: n.at()}
			stop := beside(t, w, cli.StarterCommand(), append([]string{"tail", "--since", "1h"}, c.flags...)...)
			require.Eventually(t, func() bool { return strings.Count(w.out.String(), "\n") >= len(c.want)-1 }, soon, poll)
			// The stream takes this id once: for the other cases the reply is among the stored ones, or comes from beside.
			require.NoError(t, n.replied(testContext(t), schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c 2"), "later"))
			require.Eventually(t, func() bool { return strings.Contains(w.out.String(), `"later"`) }, soon, poll)
			require.Zero(t, stop(), "an interrupt is how tail ends: %s", &w.err)
			require.Equal(t, c.want, eventIDs(t, w.out.String()))
			require.Empty(t, w.err.String())
		})
	}
}

func TestTail_BeginsNow(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	require.NoError(t, n.replied(testContext(t), schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"), "old"))
	w := &world{env: n.at()}
	stop := beside(t, w, cli.StarterCommand(), "tail")
	next := 0
	require.Eventually(t, func() bool {
		// Nothing returns when it has begun to read: replies are stored until it prints one.
		next++
		err := n.replied(t.Context(), schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"), fmt.Sprint("new-", next))
		return err == nil && strings.Contains(w.out.String(), "new-")
	}, soon, poll)
	require.Zero(t, stop())
	require.NotContains(t, eventIDs(t, w.out.String()), "old")
}

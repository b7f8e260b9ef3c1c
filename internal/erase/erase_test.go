package erase

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestKeyOf_WorkflowIDs(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-1")
	for _, id := range []string{step.ConversationID(key), step.ID(key, "e-1")} {
		got, ok := keyOf(id)
		require.True(t, ok, id)
		require.Equal(t, key, got)
	}
	for _, id := range []string{step.QueueID(key.BotID, "ORDER"), "conversation/acme", "", "script/a/b/c"} {
		_, ok := keyOf(id)
		require.False(t, ok, id)
	}
}

// TestRunsOf_UnorderedSteps: the runs of unordered steps begin with what the query asks for.
func TestRunsOf_UnorderedSteps(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-42")
	_, prefix, found := strings.Cut(runsOf(key), "STARTS_WITH '")
	require.True(t, found)
	require.True(t, strings.HasPrefix(step.ID(key, "e-1"), strings.TrimSuffix(prefix, "'")), runsOf(key))
	require.NotContains(t, step.ID(key.WithConversation("c-421"), "e-1"), strings.TrimSuffix(prefix, "'"))
}

// TestRunsFor_IDsAsSearchAttributesHoldThem: a long id is a token in a search attribute.
func TestRunsFor_IDsAsSearchAttributesHoldThem(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("u", 300)
	require.Equal(t, "HookturnTenant = 'acme' AND HookturnUser IN ('"+schemas.ConversationToken(long)+"')",
		runsFor(Request{Tenant: "acme", User: long}))
	require.Equal(t, "HookturnTenant = 'acme' AND HookturnUser IN ('o\\'neil')", runsFor(Request{Tenant: "acme", User: "o'neil"}))
	require.Contains(t, runsFor(Request{Tenant: "acme", Conversation: long}), "HookturnConversation IN ('"+schemas.ConversationToken(long))
}

// TestKept_RunsWithoutAConversation: what the command leaves is listed.
func TestKept_RunsWithoutAConversation(t *testing.T) {
	t.Parallel()
	for _, r := range []Request{{Tenant: "acme", User: "91"}, {Tenant: "acme", Conversation: "c-1"}} {
		listed := false
		for _, k := range kept(r) {
			listed = listed || strings.Contains(k.What, "background queues") && k.Why != ""
		}
		require.True(t, listed)
	}
}

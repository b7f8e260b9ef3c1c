package e2e

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestEvents_RepeatedWhenHandled publishes new events again as soon as they are answered. The stream does not have them any
// more, so that they are stored again: the conversation recognises each, open or closed, and so does a step of its own.
func TestEvents_RepeatedWhenHandled(t *testing.T) {
	t.Parallel()
	s, e, samples := startBothOrderings(t)
	c, err := client.Dial(client.Options{
		HostPort: s.Temporal.Addr(), Namespace: s.Temporal.Namespace(), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	closed := func(conversation string) (run string) {
		id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation(conversation))
		require.Eventually(t, func() bool {
			d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
			run = d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
			return err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
		}, patience, 5*time.Millisecond, "the conversation is open")
		return run
	}
	handled := func() {
		require.Eventually(t, func() bool {
			events, err := e.operator.Stream(t.Context(), schemas.StreamEvents)
			return err == nil && events.CachedInfo().State.Msgs == 0
		}, patience, 50*time.Millisecond)
	}
	publisher := bus.NewPublisher(e.operator)
	publish := func(bot, conversation, name string, at time.Time) bool {
		t.Helper()
		id := conversation + "-" + name
		event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested","time":%q,`+
			`"subject":%q,"data":{"step":%q}}`, id, at.UTC().Format(time.RFC3339Nano), conversation, name)
		_, duplicate, err := publisher.PublishEvent(t.Context(), schemas.BotID{Tenant: "default", Bot: bot}.WithConversation(conversation), event, id, nil)
		require.NoError(t, err)
		return duplicate
	}
	for _, of := range []struct{ bot, conversation, step string }{
		{"shop", "open", "ORDER"}, {"shop", "closed", "LAST"}, {"free", "alone", "ORDER"},
	} {
		now, answered, latest := time.Now(), 1, ""
		require.False(t, publish(of.bot, of.conversation, of.step, now))
		e.replied(t, of.bot, of.conversation, answered)
		if of.step == "LAST" { // another run of the conversation, which does not know the event
			closed(of.conversation)
			e.request(t, of.bot, of.conversation, "LAST")
			answered++
			e.replied(t, of.bot, of.conversation, answered)
			latest = closed(of.conversation)
		}
		for range 2 {
			handled()
			require.True(t, publish(of.bot, of.conversation, of.step, now))
		}
		if handled(); latest != "" {
			require.Equal(t, latest, closed(of.conversation), "a run was started for an event that is known")
		}
		if of.bot == "shop" {
			last := e.request(t, of.bot, of.conversation, "ORDER") // comes after them, in the order of the conversation
			all := e.replied(t, of.bot, of.conversation, answered+1)
			require.Equal(t, last, all[answered].EventID, of.conversation)
		}
	}
	handled()
	requests := map[string]int{}
	for _, r := range samples.Ledger().All() {
		requests[r.WebhookID]++
	}
	require.Len(t, requests, 6)
	for id, n := range requests {
		require.Equal(t, 1, n, "the endpoint received %s more than once", id)
	}
}

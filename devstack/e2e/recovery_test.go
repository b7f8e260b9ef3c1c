package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestRecovery_InOrder: an operator terminates a run that has accepted two events, and the engine publishes another one at
// once. The replies come in the order of the events. Runs of another program that have the names of ours, and fail, change
// nothing.
func TestRecovery_InOrder(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", ok)
	samples.Handle("/held", g.ServeHTTP)
	_, err := samples.Start()
	require.NoError(t, err)
	s, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples})
	c, err := client.Dial(client.Options{HostPort: s.Temporal.Addr()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	for _, queue := range []string{"theirs", step.QueueMain} {
		theirs, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "theirs-" + queue, TaskQueue: queue},
			step.WorkflowStep, "an input of another program")
		require.NoError(t, err)
		require.NoError(t, c.TerminateWorkflow(t.Context(), theirs.GetID(), theirs.GetRunID(), "by a test"))
	}

	ids := []string{e.request(t, "shop", "queued", "HELD"), e.request(t, "shop", "queued", "ORDER")}
	g.await(t, 1)
	require.Eventually(t, func() bool { return acceptedEvents(t.Context(), c, "queued") == 2 }, patience, 100*time.Millisecond)
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("queued")
	require.NoError(t, c.TerminateWorkflow(t.Context(), step.ConversationID(key), "", "by a test"))
	ids = append(ids, e.request(t, "shop", "queued", "ORDER"))
	close(g.open)
	replied := e.replied(t, "shop", "queued", 3)
	got := make([]string, 0, len(replied))
	for _, r := range replied {
		require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
		got = append(got, r.EventID)
	}
	require.Equal(t, ids, got)
}

// acceptedEvents returns how many events the run of a conversation has accepted; 0 when its history cannot be read.
func acceptedEvents(ctx context.Context, c client.Client, conversation string) (n int) {
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation(conversation)
	h, err := readHistory(ctx, c, step.ConversationID(key), "")
	if err != nil {
		return 0
	}
	for _, event := range h.GetEvents() {
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED {
			n++
		}
	}
	return n
}

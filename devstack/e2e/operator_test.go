package e2e

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestOperator_EndsRuns does in the Temporal UI's stead what an operator may do to a conversation whose step runs.
func TestOperator_EndsRuns(t *testing.T) {
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

	cancelled, terminated := e.request(t, "shop", "cancelled", "HELD"), uuid.NewString()
	e.publish(t, "shop", "terminated", terminated, schemas.TypeStepRequested, `{"step":"HELD"}`)
	g.await(t, 2)
	for _, conversation := range []string{"cancelled", "terminated"} { // accepted with the first heartbeat of the workflow task
		require.Eventually(t, func() bool { return accepted(t, c, conversation) }, patience, 100*time.Millisecond)
	}
	require.NoError(t, c.CancelWorkflow(t.Context(), step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("cancelled")), ""))
	require.NoError(t, c.TerminateWorkflow(t.Context(), step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("terminated")), "", "by a test"))

	r := e.replied(t, "shop", "cancelled", 1)[0]
	require.Equal(t, cancelled, r.EventID)
	require.Equal(t, "cancelled", r.Error.Kind, "a cancelled run answers what it accepted")

	close(g.open)
	first := e.replied(t, "shop", "terminated", 1)[0]
	require.Equal(t, terminated, first.EventID, "the event that a terminated run had accepted is answered by a new one")
	require.Equal(t, schemas.OutcomeSuccess, first.Outcome)
	last := e.request(t, "shop", "terminated", "ORDER")
	require.Equal(t, last, e.replied(t, "shop", "terminated", 2)[1].EventID, "nothing stays stuck behind it")
}

func accepted(t *testing.T, c client.Client, conversation string) bool {
	t.Helper()
	for _, event := range history(t, c, step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation(conversation)), "").GetEvents() {
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED {
			return true
		}
	}
	return false
}

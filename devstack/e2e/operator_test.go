package e2e

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
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
	runs := map[string]*commonpb.WorkflowExecution{}
	for _, conversation := range []string{"cancelled", "terminated"} { // accepted with the first heartbeat of the workflow task
		require.Eventually(t, func() bool { return acceptedEvents(t.Context(), c, conversation) > 0 }, patience, 100*time.Millisecond)
		id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation(conversation))
		described, err := c.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		runs[conversation] = described.GetWorkflowExecutionInfo().GetExecution()
	}
	require.NoError(t, c.CancelWorkflow(t.Context(), step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("cancelled")), ""))
	require.NoError(t, c.TerminateWorkflow(t.Context(), step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("terminated")), "", "by a test"))

	r := e.replied(t, "shop", "cancelled", 1)[0]
	require.Equal(t, cancelled, r.EventID)
	requireKind(t, "cancelled", r) // a cancelled run answers what it accepted

	close(g.open)
	first := e.replied(t, "shop", "terminated", 1)[0]
	require.Equal(t, terminated, first.EventID, "the event that a terminated run had accepted is answered by a new one")
	require.Equal(t, schemas.OutcomeSuccess, first.Outcome)
	last := e.request(t, "shop", "terminated", "ORDER")
	require.Equal(t, last, e.replied(t, "shop", "terminated", 2)[1].EventID, "nothing stays stuck behind it")

	// What a starter asks about an event that is delivered again: the server answers at once, also of closed runs.
	answered, err := updateOf(t, c, runs["cancelled"], cancelled)
	require.NoError(t, err)
	require.NotNil(t, answered.GetOutcome())
	require.Empty(t, answered.GetOutcome().GetFailure().GetApplicationFailureInfo().GetType())
	left, err := updateOf(t, c, runs["terminated"], terminated)
	require.NoError(t, err)
	require.Equal(t, "AcceptedUpdateCompletedWorkflow", left.GetOutcome().GetFailure().GetApplicationFailureInfo().GetType())
	_, err = updateOf(t, c, runs["terminated"], last)
	var none *serviceerror.NotFound
	require.ErrorAs(t, err, &none)
}

// updateOf returns what the server keeps of an event's Update of a run.
func updateOf(t *testing.T, c client.Client, run *commonpb.WorkflowExecution, event string) (
	*workflowservice.PollWorkflowExecutionUpdateResponse, error,
) {
	t.Helper()
	return c.WorkflowService().PollWorkflowExecutionUpdate(t.Context(), &workflowservice.PollWorkflowExecutionUpdateRequest{
		Namespace: client.DefaultNamespace,
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: run, UpdateId: step.UpdateID(event)},
	})
}

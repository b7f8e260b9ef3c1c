package intake_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/step"
)

// TestIntake_FullRunHoldsNoSlot: a run with as many unanswered events as it takes is asked once in a try, however long it may
// have them.
func TestIntake_FullRunHoldsNoSlot(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	running(c, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	asked := 0
	accepting(c, func(client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if asked++; asked == 1 {
			return handle(temporal.NewApplicationError("wait", step.RejectedLimit)), nil
		}
		return handle(nil), nil
	})
	limited := in.Handle(t.Context(), requested("shop"))
	verdict(t, limited, "", true)
	require.ErrorContains(t, limited.Err(), "the conversation's run has as many unanswered events as it takes")
	require.Equal(t, 1, asked)
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
}

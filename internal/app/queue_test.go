package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

type heads [][]byte

func (h heads) Heads(context.Context) ([][]byte, error) { return h, nil }

// TestSweeper_StartsQueuesWithoutRun: a queue whose run was terminated, or never started, has no other way to go on
// until its step's next event.
func TestSweeper_StartsQueuesWithoutRun(t *testing.T) {
	t.Parallel()
	c := &mocks.Client{}
	var queued heads
	for name, status := range map[string]enumspb.WorkflowExecutionStatus{
		"RUNNING": enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, "TERMINATED": enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		"COMPLETED": enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, "NONE": enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED,
	} {
		plan := bot.Plan{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Step: name}
		entry, err := json.Marshal(step.Queued{Webhook: step.WebhookInput{Plan: plan}})
		require.NoError(t, err)
		queued = append(queued, entry)
		call := c.On("DescribeWorkflowExecution", mock.Anything, step.QueueID(plan.BotID, name), "")
		if name == "NONE" {
			call.Return(nil, serviceerror.NewNotFound("no such run"))
			continue
		}
		call.Return(&workflowservice.DescribeWorkflowExecutionResponse{
			WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: status},
		}, nil)
	}
	queued = append(queued, []byte("not an entry"))
	var woken []string
	s := sweeper{queues: queued, temporal: c, log: slog.New(slog.DiscardHandler), wake: func(_ context.Context, q step.Queue) error {
		require.Equal(t, schemas.BotID{Tenant: "acme", Bot: "shop"}, q.BotID)
		woken = append(woken, q.Step)
		return nil
	}}
	require.NoError(t, s.sweep(t.Context()))
	require.ElementsMatch(t, []string{"TERMINATED", "COMPLETED", "NONE"}, woken)
}

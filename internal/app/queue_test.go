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
	"go.temporal.io/sdk/client"
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
		"CANCELED":  enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
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
	require.ElementsMatch(t, []string{"TERMINATED", "CANCELED", "COMPLETED", "NONE"}, woken)

	woken = nil
	s.wake = func(_ context.Context, q step.Queue) error {
		woken = append(woken, q.Step)
		return serviceerror.NewInvalidArgument("not this one")
	}
	require.ErrorContains(t, s.sweep(t.Context()), "not this one")
	require.Len(t, woken, 4, "a queue that cannot be started stops no other")

	woken = nil
	s.wake = func(_ context.Context, q step.Queue) error {
		woken = append(woken, q.Step)
		return serviceerror.NewUnavailable("away")
	}
	require.ErrorContains(t, s.sweep(t.Context()), "away")
	require.Len(t, woken, 1, "the others cannot be started either")
}

// TestWake_Format: a run of a background queue follows the rules of the release that has started it.
func TestWake_Format(t *testing.T) {
	t.Parallel()
	c := &mocks.Client{}
	var started step.Queue
	c.On("SignalWithStartWorkflow", mock.Anything, "queue/acme/shop/NOTIFY", step.SignalQueued, nil, mock.Anything,
		step.WorkflowQueue, mock.Anything).Run(func(args mock.Arguments) { started, _ = args[6].(step.Queue) }).Return(nil, nil)
	q := step.Queue{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Step: "NOTIFY"}
	require.NoError(t, wake(c)(t.Context(), q))
	want := q
	want.Format = step.FormatLatest
	require.Equal(t, want, started)

	var options client.StartWorkflowOptions
	c.On("ExecuteWorkflow", mock.Anything, mock.Anything, step.WorkflowQueue, want).Run(func(args mock.Arguments) {
		options, _ = args[1].(client.StartWorkflowOptions)
	}).Return(nil, nil)
	require.NoError(t, startQueue(c)(t.Context(), q))
	require.Equal(t, "queue/acme/shop/NOTIFY", options.ID)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
}

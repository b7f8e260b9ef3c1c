package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// TestUpdateLimit_EndsAtOnce: a conversation with as many unfinished Updates as the server allows does not hold the try for
// another one until its time is over. A server that is overloaded is asked again.
func TestUpdateLimit_EndsAtOnce(t *testing.T) {
	t.Parallel()
	var cause atomic.Int32
	var calls atomic.Int32
	again := make(chan struct{}, 1000) // calls after the first one
	_, address := serveFrontend(t, grpc.UnaryInterceptor(
		func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if !isUpdate(info.FullMethod) {
				return handle(ctx, request)
			}
			if calls.Add(1) > 1 {
				again <- struct{}{}
			}
			exhausted := serviceerror.NewResourceExhausted(enumspb.ResourceExhaustedCause(cause.Load()), "limit")
			if _, several := request.(*workflowservice.ExecuteMultiOperationRequest); several {
				exhausted = serviceerror.NewMultiOperationExecution("limit",
					[]error{serviceerror.NewMultiOperationAborted("other"), exhausted})
			}
			return nil, serviceerror.ToStatus(exhausted).Err()
		}))
	c, err := dialTemporal(t.Context(), client.Options{HostPort: address}, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	update := client.UpdateWorkflowOptions{
		WorkflowID: "w", UpdateID: "u", UpdateName: "n", WaitForStage: client.WorkflowUpdateStageAccepted,
	}
	ways := map[string]func(ctx context.Context) error{
		"update": func(ctx context.Context) error {
			_, err := c.UpdateWorkflow(ctx, update)
			return err
		},
		"update with start": func(ctx context.Context) error {
			start := c.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
				ID: "w", TaskQueue: "q", WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			}, "n")
			_, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
				StartWorkflowOperation: start, UpdateOptions: update,
			})
			return err
		},
	}
	for name, ask := range ways {
		cause.Store(int32(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT))
		calls.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.ErrorContains(t, ask(ctx), "limit", name)
		require.NoError(t, ctx.Err(), name)
		require.EqualValues(t, 1, calls.Load(), name)
		cancel()

		cause.Store(int32(enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED))
		calls.Store(0)
		ctx, cancel = context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- ask(ctx) }()
		<-again
		cancel()
		require.Error(t, <-ended, name)
	}
}

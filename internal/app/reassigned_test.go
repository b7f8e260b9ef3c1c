package app

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// tasks is a server whose polls return workflow tasks, one after another.
type tasks struct {
	workflowservice.UnimplementedWorkflowServiceServer

	next   chan *workflowservice.PollWorkflowTaskQueueResponse
	pauses *atomic.Int64 // of the worker
}

func (s tasks) PollWorkflowTaskQueue(context.Context, *workflowservice.PollWorkflowTaskQueueRequest) (
	*workflowservice.PollWorkflowTaskQueueResponse, error,
) {
	return <-s.next, nil
}

// PollActivityTaskQueue returns a task of the run "asked for" after a pause of the worker.
func (s tasks) PollActivityTaskQueue(context.Context, *workflowservice.PollActivityTaskQueueRequest) (
	*workflowservice.PollActivityTaskQueueResponse, error,
) {
	s.pauses.Add(1)
	return &workflowservice.PollActivityTaskQueueResponse{WorkflowExecution: &commonpb.WorkflowExecution{RunId: "asked for"}}, nil
}

// TestReassigned_WholeHistory: the worker learns of the runs that another worker may have had, and of no others.
func TestReassigned_WholeHistory(t *testing.T) {
	t.Parallel()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := tasks{next: make(chan *workflowservice.PollWorkflowTaskQueueResponse, 6), pauses: &atomic.Int64{}}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, s)
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	for _, c := range []struct {
		run             string
		first, previous int64 // events
		attempt         int32
	}{
		{"cached", 9, 5, 1}, {"cached, repeated", 9, 5, 2}, {"new", 1, 0, 1}, {"new, repeated", 1, 0, 2},
		{"reassigned", 1, 5, 1}, {"nothing to do", 0, 0, 0},
	} {
		task := &workflowservice.PollWorkflowTaskQueueResponse{
			WorkflowExecution: &commonpb.WorkflowExecution{RunId: c.run}, PreviousStartedEventId: c.previous, Attempt: c.attempt,
		}
		if c.first > 0 {
			task.History = &historypb.History{Events: []*historypb.HistoryEvent{{EventId: c.first}}}
		}
		s.next <- task
	}
	var known []string
	var o client.ConnectionOptions
	watchTasks(&o, s.pauses.Load, func(run string) { known = append(known, run) })
	conn, err := grpc.NewClient(lis.Addr().String(),
		append(o.DialOptions, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	polls := workflowservice.NewWorkflowServiceClient(conn)
	for range 6 {
		_, err := polls.PollWorkflowTaskQueue(t.Context(), &workflowservice.PollWorkflowTaskQueueRequest{})
		require.NoError(t, err)
	}
	require.Equal(t, []string{"new, repeated", "reassigned"}, known)
	_, err = polls.PollActivityTaskQueue(t.Context(), &workflowservice.PollActivityTaskQueueRequest{})
	require.NoError(t, err)
	require.Equal(t, "asked for", known[2], "a task that was asked for before a pause may be out of date")
}

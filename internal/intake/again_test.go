package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// again is the first delivery of an event that was made a while ago: the engine publishes it again, and JetStream has lost
// its table of ids.
func again(id string) *eventreader.Message {
	return messageOf(time.Now().Add(-time.Hour), "shop", schemas.TypeStepRequested, `{"step":"ORDER"}`, id)
}

// taking makes every conversation take its events, and returns their ids.
func taking(c *mocks.Client) *[]string {
	var ids []string
	accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		ids = append(ids, o.UpdateOptions.UpdateID)
		return handle(nil), nil
	})
	return &ids
}

// TestIntake_PublishedAgainAfterClose: the run that took the event has completed, and none, or another one, is open.
func TestIntake_PublishedAgainAfterClose(t *testing.T) {
	t.Parallel()
	t.Run("no other round", func(t *testing.T) {
		t.Parallel()
		in, c := setup(t)
		running(c, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
		completed(c, "latest")
		taken := taking(c)
		verdict(t, in.Handle(t.Context(), again("e1")), "", false)
		require.Empty(t, *taken)
		verdict(t, in.Handle(t.Context(), again("e2")), "", false)
		require.Equal(t, []string{"e2"}, *taken, "an old event that no run knows is served")
	})
	t.Run("another round is open", func(t *testing.T) {
		t.Parallel()
		in, c := setup(t)
		c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(begun(time.Now()), nil)
		var query string
		c.On("ListWorkflow", mock.Anything, mock.Anything).Return(
			func(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
				query = r.GetQuery()
				return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{{
					Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, Execution: &commonpb.WorkflowExecution{RunId: "first"},
				}}}, nil
			})
		completed(c, "first")
		taken := taking(c)
		m := again("e1")
		verdict(t, in.Handle(t.Context(), m), "", false)
		require.Empty(t, *taken)
		_, since, _ := strings.Cut(query, "CloseTime >= '")
		at, err := time.Parse(time.RFC3339, strings.TrimSuffix(since, "'"))
		require.NoError(t, err)
		require.WithinDuration(t, m.Received.Add(-time.Hour-step.ClockSlack), at, 10*time.Second, "since the event was made")
	})
}

func begun(at time.Time) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, StartTime: timestamppb.New(at),
		Execution: &commonpb.WorkflowExecution{RunId: "open"},
	}}
}

// TestIntake_PublishedAgainToALongRun: a run that began before the event was made is the only one that can have taken it. It
// is asked, and no other is listed.
func TestIntake_PublishedAgainToALongRun(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(begun(time.Now().Add(-2*time.Hour)), nil)
	taken := taking(c)
	verdict(t, in.Handle(t.Context(), again("e1")), "", false)
	require.Equal(t, []string{"e1"}, *taken)
	c.AssertNotCalled(t, "ListWorkflow", mock.Anything, mock.Anything)
}

// TestIntake_PublishedAgainAfterItsReply: the conversation keeps the ids of its latest events only. An event whose reply is
// stored is not asked for again, however long ago that was.
func TestIntake_PublishedAgainAfterItsReply(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(begun(time.Now().Add(-2*time.Hour)), nil).Maybe()
	taken := taking(c)
	sent := &replies{}
	in.Replies = sent
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")
	reply, err := schemas.NewReply(key, "e1", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e1"})
	require.NoError(t, err)
	sent.published = []schemas.Reply{reply}

	m := again("e1")
	verdict(t, in.Handle(t.Context(), m), "", false)
	require.Empty(t, *taken)
	require.WithinDuration(t, m.Received.Add(-time.Hour-step.ClockSlack), sent.since, time.Minute)

	sent.lost = errors.New("away")
	verdict(t, in.Handle(t.Context(), m), "", false)
	require.Equal(t, []string{"e1"}, *taken, "a conversation recognises its latest events itself")
}

// TestIntake_NewEventIsNotLookedFor: an event that comes as soon as it was made costs no look-up.
func TestIntake_NewEventIsNotLookedFor(t *testing.T) {
	t.Parallel()
	in, c := setup(t)
	taken := taking(c)
	sent := &replies{}
	in.Replies = sent
	verdict(t, in.Handle(t.Context(), requested("shop")), "", false)
	require.Equal(t, []string{"e1"}, *taken)
	require.Zero(t, sent.since)
	c.AssertNotCalled(t, "DescribeWorkflowExecution", mock.Anything, mock.Anything, mock.Anything)
}

// TestIntake_UnknownBotAnsweredOnce: the answer that no conversation gives is published once as well.
func TestIntake_UnknownBotAnsweredOnce(t *testing.T) {
	t.Parallel()
	in, _ := setup(t)
	sent := &replies{}
	in.Replies = sent
	for range 2 {
		verdict(t, in.Handle(t.Context(), requested("mall")), "unknown_bot", false)
	}
	require.Len(t, sent.published, 1)
}

package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/workflows"
)

// TestConversation_IdleCancelled replays a run that is cancelled while it waits for nothing but its idle timer. The
// cancellation makes the timer ready before the run sees it, which the environment of unit tests does not show.
func TestConversation_IdleCancelled(t *testing.T) {
	t.Parallel()
	h := readHistory(t, "testdata/histories/v6/success.json.gz") // its events 15, 19 and 20 are of the idle timer
	h.Events = h.GetEvents()[:20]
	const timer, requested, completed, cancelled, ended = 6, 15, 18, 19, 20
	event := func(id int) *historypb.HistoryEvent {
		e := &historypb.HistoryEvent{EventId: int64(id), EventTime: h.GetEvents()[id-1].GetEventTime()}
		h.Events[id-1] = e
		return e
	}
	e := event(requested)
	e.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCancelRequestedEventAttributes{
		WorkflowExecutionCancelRequestedEventAttributes: &historypb.WorkflowExecutionCancelRequestedEventAttributes{},
	}
	e = event(cancelled)
	e.EventType = enumspb.EVENT_TYPE_TIMER_CANCELED
	e.Attributes = &historypb.HistoryEvent_TimerCanceledEventAttributes{
		TimerCanceledEventAttributes: &historypb.TimerCanceledEventAttributes{
			TimerId:        h.GetEvents()[timer-1].GetTimerStartedEventAttributes().GetTimerId(),
			StartedEventId: timer, WorkflowTaskCompletedEventId: completed,
		},
	}
	e = event(ended)
	e.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
	e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCanceledEventAttributes{
		WorkflowExecutionCanceledEventAttributes: &historypb.WorkflowExecutionCanceledEventAttributes{
			WorkflowTaskCompletedEventId: completed,
		},
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
	require.NoError(t, err)
	workflows.Register(replayer)
	require.NoError(t, replayer.ReplayWorkflowHistory(nil, h))
}

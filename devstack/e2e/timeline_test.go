package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/schemas"
)

// logTimelines logs what the histories hold of failed steps: which task waited for a worker, and for how long.
func logTimelines(t *testing.T, temporal string, failed []schemas.StepReplied) {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: temporal})
	require.NoError(t, err)
	defer c.Close()
	for _, r := range failed {
		var attempts []string
		for _, a := range r.Attempts {
			attempts = append(attempts, fmt.Sprintf("%d at %s took %.0f ms: %d %s", a.N, clockTime(a.Started), a.TotalMs, a.Status, a.Error))
		}
		t.Logf("step %s of event %s ended as %s %+v, attempts %q\n%s", r.Step, r.EventID, r.Outcome, r.Error, attempts,
			timeline(history(t, c, r.Workflow.ID, r.Workflow.RunID), r.EventID))
	}
}

// timeline is the part of a history from the acceptance of an event to its result, one line an event.
func timeline(h *historypb.History, event string) string {
	var lines strings.Builder
	var accepted int64
	for _, e := range h.GetEvents() {
		if a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes(); a.GetProtocolInstanceId() == event {
			accepted = e.GetEventId()
		}
		if accepted == 0 {
			continue
		}
		kind := strings.TrimPrefix(e.GetEventType().String(), "EVENT_TYPE_")
		fmt.Fprintf(&lines, "%s %d %s %s\n", clockTime(e.GetEventTime().AsTime()), e.GetEventId(), kind, about(e))
		if e.GetWorkflowExecutionUpdateCompletedEventAttributes().GetAcceptedEventId() == accepted {
			break
		}
	}
	return lines.String()
}

// about is what matters of an event besides its type.
func about(e *historypb.HistoryEvent) string {
	switch {
	case e.GetWorkflowTaskScheduledEventAttributes() != nil:
		a := e.GetWorkflowTaskScheduledEventAttributes()
		return fmt.Sprintf("on %s %s, attempt %d", a.GetTaskQueue().GetKind(), a.GetTaskQueue().GetName(), a.GetAttempt())
	case e.GetWorkflowTaskStartedEventAttributes() != nil:
		return "by " + e.GetWorkflowTaskStartedEventAttributes().GetIdentity()
	case e.GetWorkflowTaskCompletedEventAttributes() != nil:
		a := e.GetWorkflowTaskCompletedEventAttributes()
		return fmt.Sprintf("by %s of %s", a.GetIdentity(), a.GetDeploymentVersion().GetBuildId())
	case e.GetWorkflowTaskTimedOutEventAttributes() != nil:
		return e.GetWorkflowTaskTimedOutEventAttributes().GetTimeoutType().String()
	case e.GetActivityTaskScheduledEventAttributes() != nil:
		a := e.GetActivityTaskScheduledEventAttributes()
		return fmt.Sprintf("%s, to close within %s", a.GetActivityType().GetName(), a.GetScheduleToCloseTimeout().AsDuration())
	case e.GetActivityTaskStartedEventAttributes() != nil:
		a := e.GetActivityTaskStartedEventAttributes()
		return fmt.Sprintf("by %s, attempt %d, after %v", a.GetIdentity(), a.GetAttempt(), a.GetLastFailure())
	case e.GetActivityTaskTimedOutEventAttributes() != nil:
		return fmt.Sprint(e.GetActivityTaskTimedOutEventAttributes().GetFailure())
	case e.GetTimerStartedEventAttributes() != nil:
		return e.GetTimerStartedEventAttributes().GetStartToFireTimeout().AsDuration().String()
	case e.GetMarkerRecordedEventAttributes() != nil:
		return e.GetMarkerRecordedEventAttributes().GetMarkerName()
	}
	return ""
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05.000") }

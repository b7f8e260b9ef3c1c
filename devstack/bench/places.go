package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// places are the parts of a script's run, each with the event at which it ends. A time in the history is the begin of a
// transaction: what it takes to store an event counts to the next place.
var places = []struct {
	name string
	ends enumspb.EventType
}{
	{"storing the start, until a worker has the workflow", enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED},
	{"the worker's task: both ways to the code worker, claim, sandbox, script", enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED},
}

const placesRuns = 100 // of which the histories are read

// execPlaces prints where the time of /exec goes, by the histories of the last runs: the medians.
func (r *rig) execPlaces(ctx context.Context, out io.Writer, whole time.Duration) error {
	listed, err := r.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: placesRuns, Query: `HookturnBot = "gate" AND ExecutionStatus = "Completed"`,
	})
	if err != nil {
		return err
	}
	took := make([][]time.Duration, len(places))
	for _, run := range listed.GetExecutions() {
		if err := r.addPlaces(ctx, run.GetExecution().GetWorkflowId(), took); err != nil {
			return err
		}
	}
	if len(took[0]) == 0 {
		return errors.New("no run of /exec is listed")
	}
	fmt.Fprintf(out, "\n| where the time of /exec goes | median ms |\n|---|---|\n")
	rest := whole
	for i, place := range places {
		slices.Sort(took[i])
		median := took[i][len(took[i])/2]
		rest -= median
		fmt.Fprintf(out, "| %s | %s |\n", place.name, ms(median))
	}
	fmt.Fprintf(out, "| the rest: HTTP, the call that starts the run, storing the end, the call that waits for it | %s |\n",
		ms(rest))
	return nil
}

// addPlaces adds what each place of a run took.
func (r *rig) addPlaces(ctx context.Context, id string, took [][]time.Duration) error {
	events := r.temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	at, last := 0, time.Time{}
	for events.HasNext() && at < len(places) {
		e, err := events.Next()
		if err != nil {
			return err
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED {
			last = e.GetEventTime().AsTime()
		}
		if e.GetEventType() == places[at].ends {
			now := e.GetEventTime().AsTime()
			took[at] = append(took[at], now.Sub(last))
			at, last = at+1, now
		}
	}
	return nil
}

package workflows_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/workflows"
)

// TestReplay_AsyncScript replays the runs of scripts as if no caller waited. A replay does not compare the task queue,
// timeouts and retries of an activity, so a worker that ignores step.ScriptRun.Async and one that does not can have the run
// in turns.
func TestReplay_AsyncScript(t *testing.T) {
	t.Parallel()
	activities := 0
	for version := range recorded {
		for _, name := range []string{"channel", "channel-raises"} {
			files, err := filepath.Glob(filepath.Join("testdata", "histories", version, name+".json.gz"))
			require.NoError(t, err)
			for _, file := range files {
				history := readHistory(t, file)
				input := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0]
				var request step.Request
				require.NoError(t, json.Unmarshal(input.GetData(), &request))
				request.Script.Async = true
				input.Data, err = json.Marshal(request)
				require.NoError(t, err)
				for _, e := range history.GetEvents() {
					if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == step.ActivityScript {
						activities++
					}
				}
				replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
				require.NoError(t, err)
				workflows.Register(replayer)
				require.NoError(t, replayer.ReplayWorkflowHistory(nil, history), file)
			}
		}
	}
	require.Positive(t, activities)
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/metrics/metricstest"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
)

const costBot = `
bot: cost
base_urls: {test: "%s"}
steps:
  ORDER: {webhook: {path: /orders}}
  LAST: {end_step: true, webhook: {path: /orders}}
`

// chatCost is what a chat costs, by the server's counters.
var chatCost = map[string]int{
	"persistence_requests CreateWorkflowExecution":                   1,
	"persistence_requests UpdateWorkflowExecution":                   6, // the first task's begin, and five steps
	"visibility_persistence_requests RecordWorkflowExecutionStarted": 1,
	"visibility_persistence_requests UpsertWorkflowExecution":        1, // the server's own: the build id of the worker
	"visibility_persistence_requests RecordWorkflowExecutionClosed":  1,
	"task_requests TimerActiveTaskUserTimer":                         0,
	"task_requests TransferActiveTaskWorkflowTask":                   1,
	"task_requests TransferActiveTaskActivity":                       0,
	"task_requests TransferActiveTaskCloseExecution":                 1,
}

const (
	chatsCounted = 24
	// ofTheServer bounds what the server's own workflows, those of worker deployments, do meanwhile: less than one for each
	// chat.
	ofTheServer = chatsCounted - 1
)

// TestChat_CostInTemporal counts what the Temporal server does for a chat of five steps, whose conversation is new and is
// closed by the last. Each number is a promise: a step is one transaction, and a life adds what a start and a close need.
func TestChat_CostInTemporal(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cost.yaml"), fmt.Appendf(nil, costBot, samples.URL()), 0o600))
	counts := metricstest.NewCaptureHandler()
	_, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples, TemporalMetrics: counts})
	chat := func(name string) {
		for n := range 5 {
			e.request(t, "cost", name, map[bool]string{true: "LAST", false: "ORDER"}[n == 4])
			e.replied(t, "cost", name, n+1)
		}
	}
	chat("first") // the worker polls, queues and caches exist
	captured := counts.StartCapture()
	const rounds = 3 // a task that the server repeats on a busy machine costs once more
	var wrong []string
	for round := range rounds {
		settle(t, captured)
		before := countsOf(captured)
		for n := range chatsCounted {
			chat(fmt.Sprintf("chat-%d-%d", round, n))
		}
		settle(t, captured)
		if wrong = wrongCosts(before, countsOf(captured)); len(wrong) == 0 {
			return
		}
		t.Logf("round %d: %v", round, wrong)
	}
	require.Empty(t, wrong, "for %d chats", chatsCounted)
}

// wrongCosts returns a sentence for each counter whose growth is not what the chats cost.
func wrongCosts(before, after map[string]int) (wrong []string) {
	for name, want := range chatCost {
		n, least := after[name]-before[name], want*chatsCounted
		if n < least || n > least+ofTheServer {
			wrong = append(wrong, fmt.Sprintf("%s: %d, expected %d to %d", name, n, least, least+ofTheServer))
		}
	}
	return wrong
}

// settle waits until the server has counted nothing new that belongs to a run for half a second.
func settle(t *testing.T, captured *metricstest.Capture) {
	t.Helper()
	last, since := -1, time.Now()
	require.Eventually(t, func() bool {
		now := 0
		counts := countsOf(captured)
		for name := range chatCost {
			now += counts[name]
		}
		if now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	}, 2*patience, 50*time.Millisecond)
}

// countsOf are the counters of requests by their operation.
func countsOf(captured *metricstest.Capture) map[string]int {
	counts := map[string]int{}
	snapshot := captured.Snapshot()
	for _, name := range []string{"persistence_requests", "visibility_persistence_requests", "task_requests"} {
		for _, r := range snapshot[name] {
			n, _ := r.Value.(int64)
			counts[name+" "+r.Tags["operation"]] += int(n)
		}
	}
	return counts
}

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
)

const (
	attemptBot = `
bot: hall
secrets: {hall: {file: hall-token}}
scripts: {size: {file: size.py}}
channels:
  - {code: size, type: public, token_local: hall, recv_svcscriptcode: size, opts: {issync: true, recv_timeout: 60}}
`
	attemptToken = "0123456789abcdef-hall"
	sizeScript   = `
def main(event, context):
    if event["body"] == "raise":
        raise ValueError("for the builder")
    return {"statusCode": 200, "body": str(len(event["body"]))}
`
	paysScript = `
import urllib.request
def main(event, context):
    urllib.request.urlopen(%q + "/price", timeout=100)
    urllib.request.urlopen(urllib.request.Request(%q + "/pay", headers={"webhook-id": context.aws_request_id}), timeout=100)
    return {"statusCode": 200, "body": "paid"}
`
)

// hall is a cluster with a channel whose script calls an endpoint.
type hall struct {
	samples *endpoint.Endpoint
	gate    *gate
	where   map[string]string
	gateway string
	bots    string
}

func newHall(t *testing.T, script string) *hall {
	t.Helper()
	h := &hall{samples: endpoint.New(endpoint.Options{}), gate: newGate(), gateway: freeAddr(), bots: t.TempDir()}
	h.samples.Handle("/price", ok)
	h.samples.Handle("/pay", h.gate.ServeHTTP)
	_, err := h.samples.Start()
	require.NoError(t, err)
	t.Cleanup(h.samples.Stop)
	for name, text := range map[string]string{
		"hall.yaml": attemptBot, "hall-token": attemptToken, "size.py": strings.ReplaceAll(script, "%q", fmt.Sprintf("%q", h.samples.URL())),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(h.bots, name), []byte(text), 0o600))
	}
	_, h.where = runServers(t, append(anyPort(), "--engine=false")...)
	return h
}

func (h *hall) start(t *testing.T, name string, env ...string) *proc {
	t.Helper()
	return run(t, program(t, name), append(append(environment(h.where, h.bots), "HOOKTURN_GATEWAY_ADDR="+h.gateway), env...))
}

// worker starts a worker and waits until it takes requests.
func (h *hall) worker(t *testing.T, queue string) *proc {
	t.Helper()
	p := h.start(t, "worker", "HOOKTURN_TASK_QUEUES="+queue)
	awaitReady(t, p)
	return p
}

// exec calls the channel as soon as the gateway listens. The status is 0 when the call fails.
func (h *hall) exec(ctx context.Context, t *testing.T) (status chan int) {
	t.Helper()
	awaitListening(t, h.gateway)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.gateway+"/exec", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+attemptToken)
	status = make(chan int, 1)
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			if ctx.Err() == nil {
				t.Logf("POST /exec: %v", err)
			}
			status <- 0
			return
		}
		_ = answer.Body.Close()
		status <- answer.StatusCode
	}()
	return status
}

// TestExec_WorkerLostInAttempt kills the worker of the workflow while a script runs: the next worker gets the result from the code
// worker, and the script is not run again. All workers run before the call, of which the caller waits a minute for the end.
func TestExec_WorkerLostInAttempt(t *testing.T) {
	t.Parallel()
	h := newHall(t, paysScript)
	h.worker(t, "hookturn-code")
	h.worker(t, "hookturn-code")
	workers := []*proc{h.worker(t, "hookturn"), h.worker(t, "hookturn")}
	h.start(t, "starter")
	status := h.exec(t.Context(), t)
	h.gate.await(t, 1)
	busy, _ := whichOf(t, workers, (*proc).runsTask)
	busy.kill()
	close(h.gate.open)
	require.Equal(t, http.StatusOK, next(t, status, "the status"))
	require.Len(t, h.samples.Ledger().ByPath("/pay"), 1)
}

// TestExec_CodeWorkerLostInAttempt kills the code worker instead: the script may have had its effect and is not run again.
func TestExec_CodeWorkerLostInAttempt(t *testing.T) {
	t.Parallel()
	h := newHall(t, paysScript)
	workers := []*proc{h.worker(t, "hookturn-code"), h.worker(t, "hookturn-code")}
	h.worker(t, "hookturn")
	h.start(t, "starter")
	status := h.exec(t.Context(), t)
	h.gate.await(t, 1)
	busy, _ := whichOf(t, workers, func(p *proc) bool { return p.logged("script connection closed") }) // to /price
	busy.kill()
	require.Equal(t, http.StatusGatewayTimeout, next(t, status, "the status"), "outcome_unknown")
	require.Len(t, h.samples.Ledger().ByPath("/pay"), 1)
	close(h.gate.open)
}

// TestExec_CancelledInAttempt: a run that is cancelled stops its script, as it does in an activity.
func TestExec_CancelledInAttempt(t *testing.T) {
	t.Parallel()
	h := newHall(t, paysScript)
	asked, gone := make(chan struct{}), make(chan struct{})
	h.samples.Handle("/pay", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	h.worker(t, "hookturn,hookturn-code")
	h.start(t, "starter")
	h.exec(t.Context(), t)
	next(t, asked, "the script's request")
	c, err := client.Dial(client.Options{HostPort: h.where["temporal"], Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.CancelWorkflow(t.Context(), onlyRun(t, c, "size"), ""))
	select {
	case <-gone:
	case <-time.After(patience / 2): // the script's own timeout is patience
		t.Fatal("the script runs on")
	}
}

// TestExec_AttemptHasNoActivity runs scripts through gateway, workflow, NATS and a sandbox: one workflow task and no activity,
// unless the request exceeds what NATS takes. A claim that is late on a busy machine leaves a script to an activity, and a
// task that the server repeats counts again: each call is made until one costs what is promised, at most five times.
func TestExec_AttemptHasNoActivity(t *testing.T) {
	t.Parallel()
	h := newHall(t, sizeScript)
	h.worker(t, "hookturn,hookturn-code")
	h.start(t, "starter")
	awaitListening(t, h.gateway)
	status, text := ask(t, http.MethodPost, "http://"+h.gateway+"/exec", attemptToken, "")
	require.Equal(t, http.StatusOK, status, text)
	c, err := client.Dial(client.Options{HostPort: h.where["temporal"], Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer c.Close()
	seen := map[string]bool{}
	ended := func() (id string) { // the visibility store follows
		require.Eventually(t, func() bool {
			query := &workflowservice.ListWorkflowExecutionsRequest{Query: `ExecutionStatus != "Running"`}
			listed, err := c.ListWorkflow(t.Context(), query)
			if err != nil {
				return false
			}
			for _, run := range listed.GetExecutions() {
				if id = run.GetExecution().GetWorkflowId(); !seen[id] {
					seen[id] = true
					return true
				}
			}
			return false
		}, patience, 100*time.Millisecond)
		return id
	}
	ended()
	for _, call := range []struct {
		body       string
		status     int
		activities int
	}{
		{"hello", http.StatusOK, 0}, {"raise", http.StatusInternalServerError, 0}, {strings.Repeat("x", 1000<<10), http.StatusOK, 1},
	} {
		want := []int{call.activities, 1 + call.activities}
		var got []int // activities and workflow tasks
		for round := 0; round < 5 && !slices.Equal(want, got); round++ {
			status, text := ask(t, http.MethodPost, "http://"+h.gateway+"/exec", attemptToken, call.body)
			require.Equal(t, call.status, status, text)
			count := map[enumspb.EventType]int{}
			for _, e := range history(t, c, ended(), "").GetEvents() {
				count[e.GetEventType()]++
			}
			got = []int{count[enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED], count[enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]}
			t.Logf("%d bytes: %d activities, %d workflow tasks", len(call.body), got[0], got[1])
		}
		require.Equal(t, want, got)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// previousRelease is the file with the commit whose worker must be able to replace this tree's: the latest one that reads
// what this tree writes. CONTRIBUTING.md describes when it is changed.
const previousRelease = "testdata/previous-release"

// previousWorker builds the worker of the previous release.
func previousWorker(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(previousRelease)
	require.NoError(t, err)
	commit := strings.TrimSpace(string(text))
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	out, err := exec.Command("git", "-C", "../..", "archive", "--output="+archive, commit).CombinedOutput()
	require.NoError(t, err, "the previous release %s (devstack/e2e/%s) is not in this clone: fetch the whole history with "+
		"\"git fetch --unshallow\": %s", commit, previousRelease, out)
	source := filepath.Join(dir, "source")
	require.NoError(t, os.Mkdir(source, 0o700))
	out, err = exec.Command("tar", "-xf", archive, "-C", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	build := exec.Command("go", "build", "-o", dir, "./worker")
	build.Dir = source
	out, err = build.CombinedOutput()
	require.NoError(t, err, "building the worker of %s: %s", commit, out)
	return filepath.Join(dir, "worker")
}

// openConversations is how many conversations are open during the roll-out.
const openConversations = 200

// TestRollout runs the previous release's worker and this tree's side by side over open conversations under load,
// rolls out, stops the old worker, rolls back and rolls out again: no workflow task fails, and every event is answered
// once, in order.
func TestRollout(t *testing.T) {
	previous := previousWorker(t)
	r := newRollout(t)
	start := func(path, build string) *proc {
		p := run(t, path, r.cluster.env(), "--build-id="+build, "--deployment-promote=manual", "--stop-timeout=5s")
		require.Eventually(t, func() bool {
			list, err := tryDeploymentsTool(t, r.cluster.where, "list")
			return err == nil && strings.Contains(string(list), build)
		}, patience, 100*time.Millisecond)
		return p
	}
	promote := func(build string) { deploymentsTool(t, r.cluster.where, "promote", "--yes", "--build-id="+build) }
	old := start(previous, "previous")
	promote("previous")
	r.cluster.start(t, "starter")
	stop := r.load(t)
	r.progress(t, "on the previous release")
	this := start(program(t, "worker"), "this")
	r.progress(t, "with this release beside it")
	promote("this")
	r.progress(t, "rolled out")
	old.stop(t)
	r.progress(t, "without the previous release")
	old = start(previous, "previous")
	promote("previous")
	r.progress(t, "rolled back")
	this.stop(t)
	r.progress(t, "without this release")
	start(program(t, "worker"), "this")
	promote("this")
	r.progress(t, "rolled out again")
	old.kill()
	r.progress(t, "with the previous release killed")
	stop()

	totals, problems := invariants.Traffic{
		Sent: r.sent, Replies: r.engine.all(), DeadLetters: r.engine.deadLetters(t), Requests: r.cluster.samples.Ledger().All(),
	}.Check()
	t.Log(totals, totals.Failures)
	logTimelines(t, r.cluster.where["temporal"], r.failed())
	moved := 0
	for _, h := range r.histories(t) {
		versions, failures := examine(h)
		problems = append(problems, failures...)
		if len(versions) > 1 {
			moved++
		}
	}
	require.Empty(t, problems[:min(len(problems), 20)], "%d problems", len(problems))
	require.Zero(t, totals.DeadLetters)
	require.Len(t, totals.Outcomes, 1, "only successes: %v", totals.Outcomes)
	require.GreaterOrEqual(t, moved, openConversations/2, "conversations were served by both releases")
}

// rollout is a cluster whose load goes on while workers change.
type rollout struct {
	*traffic
	cluster  *cluster
	answered [openConversations]atomic.Int64
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	c := newCluster(t)
	c.samples.Handle(invariants.MemoryPath, remembering())
	return &rollout{cluster: c, traffic: newTraffic(c.engine)}
}

// remembering is an endpoint whose answers are all different, see invariants.MemoryPath.
func remembering() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		details := map[string]any{invariants.MemoryKey: fmt.Sprintf("answer-%d", n.Add(1))}
		endpoint.Answer{Status: true, Response: []string{"ok"}, ConversationDetails: details, UserDetails: details}.
			Send(w, http.StatusOK)
	}
}

// load sends events of every kind in all conversations, one after another and now and then two at once, until stop is
// called; stop waits for the ends of all.
func (r *rollout) load(t *testing.T) (stop func()) {
	t.Helper()
	unfollow := r.follow(t)
	end := make(chan struct{})
	var group sync.WaitGroup
	for i := range openConversations {
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(i)))
			for n := 0; ; n++ {
				last := r.event(t, random, i, n)
				if random.IntN(4) == 0 {
					n++
					last = r.event(t, random, i, n)
				}
				r.wait(t, fmt.Sprintf("event %d of conversation %d", n, i), last)
				r.answered[i].Add(1)
				select {
				case <-end:
					return
				case <-time.After(time.Duration(random.IntN(10_000)) * time.Millisecond):
				}
			}
		})
	}
	return func() {
		close(end)
		group.Wait()
		r.waitAll(t)
		unfollow()
	}
}

// event sends the n-th event of conversation i.
func (r *rollout) event(t *testing.T, random *rand.Rand, i, n int) chan struct{} {
	t.Helper()
	bot := schemas.BotID{Tenant: "default", Bot: "shop"}
	e := invariants.Event{
		ConversationKey: bot.WithConversation(fmt.Sprintf("open-%d", i)), ID: fmt.Sprintf("event-%d-%d", i, n),
	}
	name := []string{"MEMORY", "MEMORY", "MEMORY", "FLAKY", "BUSY", "NEEDS", "SLOW"}[random.IntN(7)]
	end := r.send(t, e, schemas.TypeStepRequested,
		fmt.Sprintf(`{"step":%q,"user":{"id":"user-%d","name":%q}}`, name, i, invariants.EventMark(e)))
	if name == "NEEDS" {
		e.ID += "-entities"
		r.publish(t, e, schemas.TypeEntitiesCollected, product)
	}
	return end
}

// progress waits until every conversation had another event answered.
func (r *rollout) progress(t *testing.T, phase string) {
	t.Helper()
	var before [openConversations]int64
	for i := range before {
		before[i] = r.answered[i].Load()
	}
	began := time.Now()
	for i := range before {
		require.Eventually(t, func() bool { return r.answered[i].Load() >= before[i]+1 }, 2*patience, 50*time.Millisecond,
			"%s: conversation %d stands still", phase, i)
	}
	t.Logf("%s: began at %s, every conversation had an event answered within %v", phase, clockTime(began), time.Since(began).Round(time.Millisecond))
}

// failed returns the steps that did not end in success.
func (r *rollout) failed() (all []schemas.StepReplied) {
	for _, reply := range r.engine.all() {
		var data schemas.StepReplied
		if reply.Type == schemas.TypeStepReplied && json.Unmarshal(reply.Data, &data) == nil &&
			data.Outcome != schemas.OutcomeSuccess {
			all = append(all, data)
		}
	}
	return all
}

// histories are those of all runs of all conversations.
func (r *rollout) histories(t *testing.T) []*historypb.History {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: r.cluster.where["temporal"]})
	require.NoError(t, err)
	defer c.Close()
	var all []*historypb.History
	var page []byte
	for {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = 'Conversation'", NextPageToken: page,
		})
		require.NoError(t, err)
		for _, run := range list.GetExecutions() {
			all = append(all, history(t, c, run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId()))
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			require.GreaterOrEqual(t, len(all), openConversations)
			return all
		}
	}
}

// examine returns the versions that completed workflow tasks of a history, and a sentence for each task that failed.
func examine(h *historypb.History) (versions map[string]bool, failures []string) {
	versions = map[string]bool{}
	for _, event := range h.GetEvents() {
		if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
			failures = append(failures, fmt.Sprintf("a workflow task failed: %v", failed))
		}
		if done := event.GetWorkflowTaskCompletedEventAttributes(); done != nil {
			versions[done.GetDeploymentVersion().GetBuildId()] = true
		}
	}
	return versions, failures
}

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const softBot = `bot: soft
base_urls: {test: %q}
steps:
  LAST:
    end_step: true
    webhook:
      {path: /until-progress, execution: local, timeout: 10m, attempt_timeout: 30s, progress_after: 300ms, progress_message: {default: "Wait."}}
`

// types lists the types of the replies of a conversation, in stream order.
func (e *engine) types(bot, conversation string) (types []string) {
	for _, r := range e.of(bot, conversation) {
		types = append(types, r.Type)
	}
	return types
}

// awaitTypes waits until a conversation has so many replies and returns their types.
func (e *engine) awaitTypes(t *testing.T, bot, conversation string, n int) []string {
	t.Helper()
	err := e.await(func() bool { return len(e.of(bot, conversation)) >= n })
	require.NoError(t, err, "%v", e.types(bot, conversation))
	return e.types(bot, conversation)
}

// TestSoftDeadline_LocalAttempt: a soft deadline that passes while the first attempt is a local activity is noticed by the
// attempt. Everything that the engine reads of the step comes from one local activity.
func TestSoftDeadline_LocalAttempt(t *testing.T) {
	t.Parallel()
	samples, started := endpoint.New(endpoint.Options{}), make(chan struct{})
	var s *stack.Stack
	var e *engine
	samples.Handle("/until-progress", func(w http.ResponseWriter, r *http.Request) {
		<-started
		if e.await(func() bool { return len(e.of("soft", "c-1")) > 0 }) == nil {
			ok(w, r)
		}
	})
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "soft.yaml"), fmt.Appendf(nil, softBot, samples.URL()), 0o600))
	s, e = startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	close(started)
	e.request(t, "soft", "c-1", "LAST")
	require.Equal(t, []string{schemas.TypeStepProgress, schemas.TypeStepReplied, schemas.TypeConversationClosed},
		e.awaitTypes(t, "soft", "c-1", 3))

	c, err := client.Dial(client.Options{HostPort: s.Temporal.Addr()})
	require.NoError(t, err)
	defer c.Close()
	id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "soft"}.WithConversation("c-1"))
	require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
	events := map[enumspb.EventType]int{}
	for _, event := range history(t, c, id, "").GetEvents() {
		events[event.GetEventType()]++
	}
	require.Zero(t, events[enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED])
	require.Equal(t, 1, events[enumspb.EVENT_TYPE_MARKER_RECORDED], "the local activity")
	require.LessOrEqual(t, events[enumspb.EVENT_TYPE_TIMER_STARTED], 1, "the idle timer at most")
}

// TestSoftDeadline_StoppedWorker stops a worker before the soft deadline of its local attempt, lets another worker end the step,
// and continues the first one, whose soft deadline has passed meanwhile.
func TestSoftDeadline_StoppedWorker(t *testing.T) {
	t.Parallel()
	c, _ := newStallCluster(t)
	var requests atomic.Int32
	repeated := make(chan struct{}, 1)
	c.samples.Handle("/held", func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			c.gate.ServeHTTP(w, r)
			return
		}
		offer(repeated, struct{}{})
		if c.engine.await(func() bool { return len(c.engine.of("shop", "stall")) > 0 }) == nil {
			ok(w, r)
		}
	})
	workers := []*proc{c.start(t, "worker"), c.start(t, "worker")} // starting one takes a part of the attempt's 30 s
	for _, p := range workers {
		p.logs(t, "worker started")
	}
	c.start(t, "starter")
	c.engine.request(t, "shop", "stall", "SOFT")
	c.gate.await(t, 1)
	first, second := whichOf(t, workers, (*proc).runsTask)
	first.signal(t, syscall.SIGSTOP)
	next(t, repeated, "the request of the other worker")
	want := []string{schemas.TypeStepProgress, schemas.TypeStepReplied}
	require.Equal(t, want, c.engine.awaitTypes(t, "shop", "stall", 2))
	first.signal(t, syscall.SIGCONT)
	close(c.gate.open)
	first.logs(t, "reply found")
	require.Equal(t, want, c.engine.types("shop", "stall"))
	second.stop(t)
}

// runningTasks is the share of a worker's slots in use, unless it is 0.
var runningTasks = regexp.MustCompile(`(?m)^hookturn_step_slots_used_ratio\{task_queue="hookturn"\} (0\.|[1-9])`)

// whichOf waits until a condition holds for one of two programs, and returns that one and the other.
func whichOf(t *testing.T, two []*proc, holds func(*proc) bool) (one, other *proc) {
	t.Helper()
	require.Eventually(t, func() bool {
		for i, p := range two {
			if holds(p) {
				one, other = p, two[1-i]
				return true
			}
		}
		return false
	}, patience, time.Millisecond, "it holds for neither of %d programs", len(two))
	return one, other
}

// runsTask reports whether a worker runs a workflow task.
func (p *proc) runsTask() bool {
	for _, variable := range p.cmd.Env {
		admin, found := strings.CutPrefix(variable, "HOOKTURN_ADMIN_ADDR=")
		if !found {
			continue
		}
		answer, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			return false
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		return err == nil && runningTasks.Match(text)
	}
	return false
}

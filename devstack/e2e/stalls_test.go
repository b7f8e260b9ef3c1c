package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// stallBot has one step for each way in which a first attempt is made. No step may make a second one.
const stallBot = `bot: shop
base_urls: {test: %q}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: /orders}}
  LOCAL: {webhook: {path: /held, timeout: 120s, attempt_timeout: 30s, execution: local, retry: {max_attempts: 1}}}
  SOFT:
    webhook:
      path: /held
      timeout: 120s
      attempt_timeout: 30s
      execution: local
      retry: {max_attempts: 1}
      progress_after: 1s
      progress_message: {default: "Wait."}
  HELD: {webhook: {path: /held, timeout: 120s, attempt_timeout: 30s, execution: activity, retry: {max_attempts: 1}}}
`

// newStallCluster is a cluster whose servers can be stopped: they are a process of their own.
func newStallCluster(t *testing.T) (*cluster, *proc) {
	t.Helper()
	c := &cluster{samples: endpoint.New(endpoint.Options{LedgerSize: 20_000}), gate: newGate()}
	c.samples.Handle("/orders", ok)
	c.samples.Handle("/held", c.gate.ServeHTTP)
	_, err := c.samples.Start()
	require.NoError(t, err)
	t.Cleanup(c.samples.Stop)
	dir := t.TempDir()
	text := fmt.Appendf(nil, stallBot, c.samples.URL())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), text, 0o600))
	servers, where := runServers(t, append(anyPort(), "--engine=false")...)
	c.where = where
	c.env = func() []string { return environment(c.where, dir) }
	c.engine = newEngine(t, "nats://"+c.where["nats"])
	return c, servers
}

func (p *proc) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// logged reports whether a program has logged a line with all of these texts.
func (p *proc) logged(texts ...string) bool {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(log)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return true
		}
	}
	return false
}

// logs waits until a program has logged a text.
func (p *proc) logs(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return p.logged(text) }, patience, 50*time.Millisecond, "the program did not log %q", text)
}

// whileHeld waits until a condition holds, or the first request that the gate holds is 20 s old: an attempt takes 30 s at most,
// and on a slow machine the test goes on with what has happened by then.
func (c *cluster) whileHeld(t *testing.T, what string, holds func() bool) {
	t.Helper()
	left := 20*time.Second - time.Since(c.samples.Ledger().ByPath("/held")[0].In)
	happens(t, left, what, holds)
}

// TestStall_Servers stops Temporal and NATS until the worker has failed to report that it lives, in each way in which a first
// attempt is made. What the endpoint answers meanwhile is the answer of the step, and it is not asked again.
func TestStall_Servers(t *testing.T) {
	t.Parallel()
	c, servers := newStallCluster(t)
	worker := c.start(t, "worker")
	c.start(t, "starter")
	const each = 8
	failures := map[string]string{ // of the worker, by the step that causes it
		"HELD":  "RecordActivityHeartbeat with error",
		"LOCAL": "Failed to process workflow task", "SOFT": "Failed to process workflow task",
	}
	all := each * len(failures)
	conversations := map[string][]string{}
	for name := range failures {
		for i := range each {
			conversation := fmt.Sprintf("stall-%s-%d", name, i)
			conversations[name] = append(conversations[name], conversation)
			c.engine.request(t, "shop", conversation, name)
		}
	}
	c.gate.await(t, all)
	servers.signal(t, syscall.SIGSTOP)
	for name, failure := range failures {
		c.whileHeld(t, name+": "+failure, func() bool { return worker.logged(failure, "stall-"+name) })
	}
	close(c.gate.open)
	require.Eventually(t, func() bool { return answered(c.samples, "/held") == all }, patience, 10*time.Millisecond)
	servers.signal(t, syscall.SIGCONT)
	for name := range failures {
		for _, conversation := range conversations[name] {
			r := c.engine.replied(t, "shop", conversation, 1)[0]
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome, "%s: %+v", conversation, r.Error)
			require.Len(t, r.Attempts, 1, conversation)
			types := c.engine.types("shop", conversation)
			if len(types) > 1 { // the message was on its way when NATS was stopped
				require.Equal(t, []string{schemas.TypeStepProgress, schemas.TypeStepReplied}, types, conversation)
			}
		}
	}
	require.Len(t, c.samples.Ledger().ByPath("/held"), all)
}

// answered is how many requests of a path the endpoint has answered.
func answered(e *endpoint.Endpoint, path string) (n int) {
	for _, entry := range e.Ledger().ByPath(path) {
		if !entry.Out.IsZero() {
			n++
		}
	}
	return n
}

// TestStall_Worker stops the only worker until the server has given up its activity, which then runs again in the same
// process: it joins the request that is still under way.
func TestStall_Worker(t *testing.T) {
	t.Parallel()
	c, _ := newStallCluster(t)
	worker := c.start(t, "worker")
	c.start(t, "starter")
	c.engine.request(t, "shop", "stall", "HELD")
	c.gate.await(t, 1)
	temporal, err := client.Dial(client.Options{HostPort: c.where["temporal"]})
	require.NoError(t, err)
	defer temporal.Close()
	worker.signal(t, syscall.SIGSTOP)
	id := step.ConversationID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("stall"))
	attempt := func() int32 {
		about, err := temporal.DescribeWorkflowExecution(context.Background(), id, "")
		if err != nil || len(about.GetPendingActivities()) == 0 {
			return 0
		}
		return about.GetPendingActivities()[0].GetAttempt()
	}
	c.whileHeld(t, "the second attempt of the activity", func() bool { return attempt() > 1 })
	worker.signal(t, syscall.SIGCONT)
	close(c.gate.open)
	r := c.engine.replied(t, "shop", "stall", 1)[0]
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome, "%+v", r.Error)
	require.Len(t, r.Attempts, 1)
	require.Len(t, c.samples.Ledger().ByPath("/held"), 1)
}

// TestStall_OneOfTwoWorkers stops a worker for good. It leaves its polls at the server, which take tasks with them.
func TestStall_OneOfTwoWorkers(t *testing.T) {
	t.Parallel()
	c, _ := newStallCluster(t)
	stopped := c.start(t, "worker")
	c.start(t, "starter")
	for i := range 8 {
		c.engine.request(t, "shop", fmt.Sprintf("two-%d", i), "ORDER")
		c.engine.replied(t, "shop", fmt.Sprintf("two-%d", i), 1)
	}
	c.start(t, "worker").logs(t, "worker started")
	stopped.signal(t, syscall.SIGSTOP)
	for i := range 16 { // half of them are known to the stopped worker
		c.engine.request(t, "shop", fmt.Sprintf("two-%d", i), "ORDER")
	}
	for i := range 16 {
		n := 1
		if i < 8 {
			n = 2
		}
		for _, r := range c.engine.replied(t, "shop", fmt.Sprintf("two-%d", i), n) {
			require.Equal(t, schemas.OutcomeSuccess, r.Outcome, "%+v", r.Error)
		}
	}
}

// TestStall_WorkerLostAfterItsReply kills a worker that has published a reply and could not report it. The engine has read
// that reply, so it is how the step ended: the endpoint, which would say something else now, is not asked again.
func TestStall_WorkerLostAfterItsReply(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	var asked atomic.Int64
	var second sync.Once
	later := make(chan []byte, 1)
	samples.Handle("/held", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked.Add(1) > 1 {
			second.Do(func() { later <- body })
			http.Error(w, "conflict", http.StatusConflict)
			return
		}
		g.arrived <- r.Header.Get("webhook-id")
		select {
		case <-g.open:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":["done"],"conversation_details":{"order":"A12"}}`)
	})
	samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		second.Do(func() { later <- body })
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"response":["ok"]}`)
	})
	a := startServersApart(t, samples)
	worker := run(t, program(t, "worker"), a.env)
	run(t, program(t, "starter"), a.env)
	a.engine.request(t, "shop", "lost", "LOCAL")
	g.await(t, 1)
	a.process.kill()
	close(g.open)
	first := a.engine.replied(t, "shop", "lost", 1)[0]
	require.Equal(t, schemas.OutcomeSuccess, first.Outcome)
	worker.kill()
	a.runTemporal(t)
	run(t, program(t, "worker"), a.env)
	last := a.engine.request(t, "shop", "lost", "ORDER")
	replies := a.engine.replied(t, "shop", "lost", 2)
	require.Equal(t, last, replies[1].EventID)
	require.Equal(t, schemas.OutcomeSuccess, replies[1].Outcome)
	require.EqualValues(t, 1, asked.Load(), "the endpoint is not asked again")
	require.Contains(t, string(next(t, later, "the next request")), "A12", "the conversation remembers what the engine has read")
}

// TestStall_RunComesBack: a worker that knows a run is stopped, another one goes on with it, publishes a reply, and is lost
// before it can report it. The run comes back to the first, which finds the reply and does not ask the endpoint.
func TestStall_RunComesBack(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{LedgerSize: 100}), newGate()
	samples.Handle("/held", g.ServeHTTP)
	samples.Handle("/orders", ok)
	a := startServersApart(t, samples)
	run(t, program(t, "starter"), a.env)
	first := run(t, program(t, "worker"), a.env)
	a.engine.request(t, "shop", "back", "ORDER")
	a.engine.replied(t, "shop", "back", 1)
	first.signal(t, syscall.SIGSTOP)
	second := run(t, program(t, "worker"), a.env)
	held := a.engine.request(t, "shop", "back", "LOCAL")
	g.await(t, 1)
	a.process.kill()
	close(g.open)
	require.Equal(t, held, a.engine.replied(t, "shop", "back", 2)[1].EventID)
	second.kill()
	a.runTemporal(t)
	first.signal(t, syscall.SIGCONT)
	last := a.engine.request(t, "shop", "back", "ORDER")
	r := a.engine.replied(t, "shop", "back", 3)[2]
	require.Equal(t, last, r.EventID)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Len(t, samples.Ledger().ByPath("/held"), 1, "the endpoint is not asked again")
}

// TestStall_StaleTasks: workers that know their runs are stopped while tasks wait in their connections. Other workers take the
// steps over and answer them. When the first ones go on, they find the tasks and must not ask the endpoint again.
func TestStall_StaleTasks(t *testing.T) {
	t.Parallel()
	const conversations = 30
	samples := endpoint.New(endpoint.Options{LedgerSize: 1000})
	samples.Handle("/orders", ok)
	a := startServersApart(t, samples)
	run(t, program(t, "starter"), a.env)
	first := run(t, program(t, "worker"), a.env)
	name := func(i int) string { return fmt.Sprintf("stale-%d", i) }
	for i := range conversations {
		a.engine.request(t, "shop", name(i), "ORDER")
	}
	for i := range conversations {
		a.engine.replied(t, "shop", name(i), 1)
	}
	first.signal(t, syscall.SIGSTOP)
	run(t, program(t, "worker"), a.env)
	for i := range conversations {
		a.engine.request(t, "shop", name(i), "ORDER")
	}
	for i := range conversations {
		a.engine.replied(t, "shop", name(i), 2)
	}
	first.signal(t, syscall.SIGCONT)
	for i := range conversations { // by both workers
		a.engine.request(t, "shop", name(i), "ORDER")
	}
	for i := range conversations {
		a.engine.replied(t, "shop", name(i), 3)
	}
	again := samples.Ledger().Len() - 3*conversations
	require.LessOrEqual(t, again, conversations/4, "some, where the machine itself stopped a worker; all of one round would be the tasks'")
}

// startServersApart are servers for programs that are processes of their own. So is Temporal, which ends at once when it is
// killed: in this process, its stop would take a part of the 30 s that an attempt has.
func startServersApart(t *testing.T, samples *endpoint.Endpoint) *apart {
	t.Helper()
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	a := &apart{dir: t.TempDir(), temporal: freeAddr()}
	a.startNATS(t)
	t.Cleanup(func() { a.nats.Stop() })
	a.runTemporal(t)
	dir := t.TempDir()
	text := fmt.Appendf(nil, stallBot, samples.URL())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), text, 0o600))
	a.env = environment(map[string]string{"nats": a.natsAddr, "temporal": a.temporal}, dir)
	a.env = a.env[:len(a.env)-1] // every program chooses its own admin address: none
	a.engine = newEngine(t, a.nats.URL())
	return a
}

// runTemporal starts the Temporal server as a process.
func (a *apart) runTemporal(t *testing.T) {
	t.Helper()
	a.process = server(t, "temporal", "--data-dir="+filepath.Join(a.dir, "temporal"), "--temporal-addr="+a.temporal)
}

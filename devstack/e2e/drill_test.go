package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// drill is servers and programs, each a process of its own, a load on them, and faults in between. What was recorded
// at both ends is checked when the load has ended.
type drill struct {
	*traffic
	options drillOptions
	dir     string
	bots    string
	env     []string
	samples *endpoint.Endpoint

	js                     jetstream.JetStream // may do everything
	natsAddr, temporalAddr string
	nats, temporal         *proc
	workers, starters      []*proc

	keys     []schemas.ConversationKey
	answered []atomic.Int64     // by conversation
	pause    time.Duration      // the longest between two events of a conversation
	before   invariants.Traffic // what was recorded before the stream of replies was lost
	loads    int                // how often a load was started
	killed   bool               // a process was killed: the endpoint may receive more duplicates
	// takenOver is how many steps other workers may have taken over in the present fault. Within the few seconds in which the
	// steps of a dead worker must go on, a stopped one looks like it: another worker repeats their attempts.
	takenOver int
	doubled   int  // duplicates at the endpoint until the present fault
	beyond    int  // of them, those that no fault explains
	forgets   bool // the users' details were lost
}

type drillOptions struct {
	held     time.Duration // the longest step; 5 s when 0: longer than a lost heartbeat of its activity is waited for
	natsArgs []string      // more flags of the NATS server
	temporal []string      // flags of the Temporal server instead of a directory for its database
	env      []string      // more settings of the programs
	// nats starts other NATS servers instead, and returns where they are.
	nats func(t *testing.T, dir string) (url string)
	// through returns the address by which the programs reach Temporal.
	through func(temporal string) string
}

const drillBot = `bot: $BOT
tenant: $TENANT
base_urls: {test: "$ENDPOINT"}
bot_break: {default: "Sorry."}
steps:
  MEMORY: {webhook: {path: /remember, $LONG}}
  BUSY: {webhook: {path: /remember, execution: activity, $LONG}}
  NEEDS: {requires: [product], webhook: {path: /remember, $LONG}}
  FLAKY: {webhook: {path: /flaky, retry: {initial: 10ms}, limits: {trip_after: 1000}, $LONG}}
  SLOW: {webhook: {path: "/slow?ms=700", progress_after: 100ms, progress_message: {default: "Wait."}, $LONG}}
  SECOND: {webhook: {path: "/slow?ms=1000", $LONG}}
  HELD: {webhook: {path: "/slow?ms=$HELD", execution: activity, $LONG}}
  LAST: {end_step: true, webhook: {path: /remember, $LONG}}
`

// long is more time than any fault of a drill takes: with it, only a broken promise ends a step without success.
const long = "timeout: 10m, attempt_timeout: 30s"

func newDrill(t *testing.T, conversations int, o drillOptions) *drill {
	t.Helper()
	if o.held == 0 {
		o.held = 5 * time.Second
	}
	d := &drill{
		options: o, dir: t.TempDir(), bots: t.TempDir(), natsAddr: freeAddr(), temporalAddr: freeAddr(), pause: time.Second,
		samples: endpoint.New(endpoint.Options{LedgerSize: 1 << 20}),
	}
	d.samples.Handle(invariants.MemoryPath, remembering())
	_, err := d.samples.Start()
	require.NoError(t, err)
	t.Cleanup(d.samples.Stop)
	for _, tenant := range tenants {
		for _, bot := range []string{"shop", "mall"} {
			text := strings.NewReplacer("$BOT", bot, "$TENANT", tenant, "$ENDPOINT", d.samples.URL(), "$LONG", long,
				"$HELD", strconv.FormatInt(o.held.Milliseconds(), 10)).Replace(drillBot)
			require.NoError(t, os.MkdirAll(filepath.Join(d.bots, tenant), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(d.bots, tenant, bot+".yaml"), []byte(text), 0o600))
		}
	}
	url := "nats://" + d.natsAddr
	if o.nats != nil {
		url = o.nats(t, d.dir)
	} else {
		d.startNATS(t)
	}
	d.startTemporal(t)
	temporal := d.temporalAddr
	if o.through != nil {
		temporal = o.through(temporal)
	}
	d.env = append([]string{
		"HOOKTURN_NATS_URL=" + url, "HOOKTURN_BOTS=" + d.bots, "HOOKTURN_EGRESS_ALLOW=127.0.0.1",
		"TEMPORAL_ADDRESS=" + temporal,
	}, o.env...)
	d.setUp(t)
	d.traffic = newTraffic(newEngine(t, url))
	d.js = developer(t, url)
	for i := range conversations {
		bot := schemas.BotID{Tenant: tenants[i%2], Bot: []string{"shop", "mall"}[i/2%2]}
		d.keys = append(d.keys, bot.WithConversation(fmt.Sprintf("c-%d", i/4)))
	}
	d.answered = make([]atomic.Int64, conversations)
	return d
}

// server runs a server of the development stack and waits until it is ready.
func server(t *testing.T, name string, args ...string) *proc {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := run(t, self, []string{role + "=devstack"}, append([]string{name}, args...)...)
	select {
	case <-p.lines:
	case <-p.waited:
		t.Fatalf("%s ended before it was ready", name)
	case <-time.After(patience):
		t.Fatalf("%s is not ready", name)
	}
	return p
}

func (d *drill) startNATS(t *testing.T) {
	t.Helper()
	args := append([]string{"--nats-addr=" + d.natsAddr, "--data-dir=" + filepath.Join(d.dir, "nats")}, d.options.natsArgs...)
	d.nats = server(t, "nats", args...)
}

func (d *drill) startTemporal(t *testing.T) {
	t.Helper()
	state := d.options.temporal
	if state == nil {
		state = []string{"--data-dir=" + filepath.Join(d.dir, "temporal")}
	}
	d.temporal = server(t, "temporal", append(state, "--temporal-addr="+d.temporalAddr)...)
}

// developer connects as the user who may do everything.
func developer(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// setUp runs "starter setup", as an operator does. A cluster of NATS servers needs some time until it succeeds.
func (d *drill) setUp(t *testing.T) {
	t.Helper()
	starter := program(t, "starter") // building it takes time of its own
	var out []byte
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		cmd := exec.CommandContext(ctx, starter, "setup")
		cmd.Env = append(os.Environ(), d.env...)
		var err error
		out, err = cmd.CombinedOutput()
		cancel()
		if err == nil {
			return
		}
		require.Less(t, time.Since(began), 3*patience, "starter setup: %v: %s", err, out)
	}
}

// program starts a worker or a starter and waits until it serves.
func (d *drill) program(t *testing.T, name string, args ...string) *proc {
	t.Helper()
	p := d.launch(t, name, args...)
	awaitReady(t, p)
	return p
}

// launch starts a worker or a starter.
func (d *drill) launch(t *testing.T, name string, args ...string) *proc {
	t.Helper()
	return run(t, program(t, name), append(slices.Clip(d.env), "HOOKTURN_ADMIN_ADDR="+freeAddr()), args...)
}

// start starts two workers and two starters, all at the same time, and waits until they serve.
func (d *drill) start(t *testing.T) {
	t.Helper()
	for range 2 {
		d.workers, d.starters = append(d.workers, d.launch(t, "worker")), append(d.starters, d.launch(t, "starter"))
	}
	awaitReady(t, slices.Concat(d.workers, d.starters)...)
}

// inHand is how many steps that can be repeated a worker has in hand at most: one of each of its conversations, and no more
// first attempts of a bot than it makes within workflow tasks.
func (d *drill) inHand() int { return min(len(d.keys)/len(d.workers), 16) }

// load sends events in all conversations until stop is called; stop waits for the ends of all.
func (d *drill) load(t *testing.T) (stop func()) {
	t.Helper()
	unfollow := d.follow(t)
	end := make(chan struct{})
	var group sync.WaitGroup
	first := d.loads * 1_000_000 // ids are unique in a conversation
	d.loads++
	for i := range d.keys {
		group.Go(func() {
			random := rand.New(rand.NewPCG(11, uint64(i)))
			for n := first; ; n++ {
				ends := []chan struct{}{d.event(t, random, i, n)}
				if random.IntN(4) == 0 {
					n++
					ends = append(ends, d.event(t, random, i, n))
				}
				for _, answered := range ends {
					d.wait(t, fmt.Sprintf("an event of %v, of which event %d is the last", d.keys[i], n), answered)
					d.answered[i].Add(1)
				}
				select {
				case <-end:
					return
				case <-t.Context().Done():
					return
				case <-time.After(time.Duration(random.Int64N(int64(d.pause)))):
				}
			}
		})
	}
	return func() {
		close(end)
		group.Wait()
		d.waitAll(t)
		unfollow()
	}
}

// event sends the n-th event of conversation i. All conversations use the same event ids, and all tenants and bots the
// same conversation ids.
func (d *drill) event(t *testing.T, random *rand.Rand, i, n int) chan struct{} {
	t.Helper()
	e := invariants.Event{ConversationKey: d.keys[i], ID: fmt.Sprintf("event-%d", n)}
	names := []string{"MEMORY", "MEMORY", "MEMORY", "MEMORY", "BUSY", "BUSY", "NEEDS", "FLAKY", "SLOW", "HELD", "LAST"}
	name := names[random.IntN(len(names))]
	end := d.send(t, e, schemas.TypeStepRequested, fmt.Sprintf(`{"step":%q,"user":{"id":"%s-%s","name":%q}}`,
		name, e.Bot, e.Conversation, invariants.Mark(e.Tenant)+" "+invariants.EventMark(e)))
	if name == "NEEDS" {
		e.ID += "-entities"
		d.publish(t, e, schemas.TypeEntitiesCollected, product)
	}
	return end
}

// recovery bounds the wait for the next answer in every conversation after a fault.
const recovery = 2 * time.Minute

// recovered waits until every conversation had another event answered, which ends the present fault.
func (d *drill) recovered(t *testing.T, fault string) {
	t.Helper()
	before := make([]int64, len(d.answered))
	for i := range before {
		before[i] = d.answered[i].Load()
	}
	began := time.Now()
	for i := range before {
		require.Eventually(t, func() bool { return d.answered[i].Load() > before[i] }, recovery, 20*time.Millisecond,
			"%s: conversation %v stands still", fault, d.keys[i])
	}
	t.Logf("%s: every conversation had an answer within %v", fault, time.Since(began).Round(time.Millisecond))
	d.mu.Lock()
	recorded := invariants.Traffic{Sent: slices.Concat(d.before.Sent, d.traffic.sent), Requests: d.samples.Ledger().All()}
	d.mu.Unlock()
	totals, _ := recorded.Check()
	d.countBeyond(totals.Duplicates)
}

// countBeyond counts the duplicates of the present fault that it does not explain, and ends it.
func (d *drill) countBeyond(duplicates int) {
	d.beyond += max(duplicates-d.doubled-d.takenOver, 0)
	d.doubled, d.takenOver = duplicates, 0
}

// stopFor stops processes and continues them after a time, as a machine that was suspended. The tasks of a stopped worker go
// to the other one. When Temporal was stopped, its timers end the tasks of both, and half of them change the worker.
func (d *drill) stopFor(t *testing.T, pause time.Duration, procs ...*proc) {
	t.Helper()
	for _, p := range procs {
		if p == d.temporal || slices.Contains(d.workers, p) {
			d.takenOver += d.inHand()
		}
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	}
	select {
	case <-time.After(pause):
	case <-t.Context().Done():
	}
	for _, p := range procs {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
	}
}

// byChance is how many duplicates a drill may have beyond the promised rate of 1 in 1,000 steps: of a thousand steps at that
// rate, more than four are repeated in one drill of 270.
const byChance = 3

// duplicatesMax is how many duplicates the endpoint may receive that no fault explains, where nothing was killed. A busy
// machine stops a worker, too: each drill has room for that once. A fault of the product repeats steps all the time.
func (d *drill) duplicatesMax(events int) int { return (events+999)/1000 + byChance + d.inHand() }

// check checks what was recorded, and that duplicates at the endpoint are rare where nothing was killed.
func (d *drill) check(t *testing.T) {
	t.Helper()
	recorded := invariants.Traffic{
		Requests: d.samples.Ledger().All(), DeadLetters: d.engine.deadLetters(t), UsersForgotten: d.forgets,
	}
	recorded.Sent = slices.Concat(d.before.Sent, d.traffic.sent)
	recorded.Replies = slices.Concat(d.before.Replies, d.traffic.engine.all())
	totals, problems := recorded.Check()
	t.Logf("%s; failures: %v", totals, totals.Failures)
	for _, of := range recorded.Concerns(problems) {
		t.Logf("%v:\n%s", of, recorded.Timeline(of))
	}
	require.Zero(t, d.samples.Ledger().Dropped())
	require.Empty(t, problems[:min(len(problems), 20)], "%d problems", len(problems))
	require.Len(t, totals.Outcomes, 1, "every step has more time than the faults take, and succeeds: %v", totals.Outcomes)
	d.countBeyond(totals.Duplicates)
	if !d.killed {
		require.LessOrEqual(t, d.beyond, d.duplicatesMax(totals.Events),
			"duplicates at the endpoint without a kill:\n%s", strings.Join(totals.Doubled, "\n"))
	}
}

// kill ends a process as a crash does.
func (d *drill) kill(p *proc) {
	d.killed = true
	p.kill()
}

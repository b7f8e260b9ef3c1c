package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

// gate is an endpoint that holds its answers until it is opened.
type gate struct {
	mu      sync.Mutex
	open    chan struct{}
	arrived chan string // webhook-ids
}

func newGate() *gate { return &gate{open: make(chan struct{}), arrived: make(chan string, 1000)} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	g.arrived <- r.Header.Get("webhook-id")
	select {
	case <-open:
		ok(w, r)
	case <-r.Context().Done():
	}
}

// await waits until n different steps have reached the endpoint.
func (g *gate) await(t *testing.T, n int) {
	t.Helper()
	seen := map[string]bool{}
	timeout := time.After(patience)
	for len(seen) < n {
		select {
		case id := <-g.arrived:
			seen[id] = true
		case <-timeout:
			t.Fatalf("%d of %d steps reached the endpoint", len(seen), n)
		}
	}
}

// cluster is servers, and the product's programs as processes of their own.
type cluster struct {
	where   map[string]string
	env     func() []string
	engine  *engine
	samples *endpoint.Endpoint
	gate    *gate
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{samples: endpoint.New(endpoint.Options{LedgerSize: 20_000}), gate: newGate()}
	c.samples.Handle("/orders", ok)
	c.samples.Handle("/held", c.gate.ServeHTTP)
	_, err := c.samples.Start()
	require.NoError(t, err)
	t.Cleanup(c.samples.Stop)
	dir := bots(t, c.samples.URL())
	_, c.where = runServers(t, append(anyPort(), "--engine=false")...)
	c.env = func() []string { return environment(c.where, dir) }
	c.engine = newEngine(t, "nats://"+c.where["nats"])
	return c
}

func (c *cluster) start(t *testing.T, name string) *proc {
	t.Helper()
	return run(t, program(t, name), c.env())
}

// answeredOnce waits for the reply to one event in each of n conversations, and for nothing more.
func answeredOnce(t *testing.T, e *engine, prefix string, n int) {
	t.Helper()
	for i := range n {
		conversation := fmt.Sprintf("%s-%d", prefix, i)
		require.Equal(t, schemas.OutcomeSuccess, e.replied(t, "shop", conversation, 1)[0].Outcome, conversation)
	}
	// What could come twice comes in the order of the stream, so it is there once a later event is answered.
	for i := range n {
		conversation := fmt.Sprintf("%s-%d", prefix, i)
		last := e.request(t, "shop", conversation, "ORDER")
		replies := e.replied(t, "shop", conversation, 2)
		require.Len(t, replies, 2, conversation)
		require.Equal(t, last, replies[1].EventID)
	}
}

func TestWorker_Killed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.start(t, "worker")
	c.start(t, "starter")
	for i := range 16 {
		c.engine.request(t, "shop", fmt.Sprintf("worker-%d", i), "HELD")
	}
	c.gate.await(t, 16)
	c.start(t, "worker")
	first.kill()
	close(c.gate.open)
	answeredOnce(t, c.engine, "worker", 16)
}

func TestStarter_Killed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(t, "worker")
	first := c.start(t, "starter")
	for i := range 16 {
		c.engine.request(t, "shop", fmt.Sprintf("starter-%d", i), "HELD")
	}
	c.gate.await(t, 16)
	first.kill()
	close(c.gate.open)
	c.start(t, "starter")
	answeredOnce(t, c.engine, "starter", 16)
}

func TestStack_Killed(t *testing.T) {
	t.Parallel()
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", ok)
	samples.Handle("/held", g.ServeHTTP)
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	flags := []string{"--bots=" + bots(t, samples.URL()), "--data-dir=" + filepath.Join(t.TempDir(), "state")}
	// Both starts have the same addresses, which stay free in between.
	for _, name := range []string{"nats", "temporal", "ui", "gateway", "admin"} {
		flags = append(flags, "--"+name+"-addr="+freeAddr())
	}
	first, where := runServers(t, flags...)
	e := newEngine(t, "nats://"+where["nats"])
	for i := range 16 {
		e.request(t, "shop", fmt.Sprintf("stack-%d", i), "HELD")
	}
	g.await(t, 16)
	first.kill()
	close(g.open)
	runServers(t, flags...)
	answeredOnce(t, e, "stack", 16)
}

// TestStarter_SharedLoad runs two workers and two starters, kills one starter under load, then stops the other when a third has
// come: every conversation stays in order and every event is answered once.
func TestStarter_SharedLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	workers := []*proc{c.start(t, "worker"), c.start(t, "worker")}
	starters := []*proc{c.start(t, "starter"), c.start(t, "starter")}
	const conversations, each = 24, 30
	sent := make([][]string, conversations)
	for n := range each {
		for i := range conversations {
			sent[i] = append(sent[i], c.engine.request(t, "shop", fmt.Sprintf("shared-%d", i), "ORDER"))
		}
		switch n {
		case each / 3:
			starters[0].kill()
		case each / 2:
			workers[0].kill()
			starters = append(starters, c.start(t, "starter"))
		case 2 * each / 3:
			starters[1].stop(t)
		}
	}
	for i := range conversations {
		conversation := fmt.Sprintf("shared-%d", i)
		var got []string
		for _, r := range c.engine.replied(t, "shop", conversation, each) {
			got = append(got, r.EventID)
		}
		require.True(t, slices.Equal(sent[i], got), "%s: sent %v, answered %v", conversation, sent[i], got)
	}
	require.Equal(t, 1, c.samples.Ledger().MaxOverlap(func(e endpoint.Entry) string { return e.Header.Get("webhook-id") }),
		"no attempt runs beside another of its step")
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// A busy tenant has thousands of conversations at once whose endpoint takes seconds. The benchmark measures the steps of a
// quiet tenant, alone and beside it.
const (
	busyConversations = 3000
	quietEvery        = 50 * time.Millisecond
	// fairnessRound is how long the quiet tenant is measured alone, and beside conversations that are open.
	fairnessRound = 20 * time.Second
	// busyPatience is how long a step of the busy tenant may take: it waits for its share of the worker.
	busyPatience = 5 * time.Minute
)

// busyLoad is what the busy tenant does.
type busyLoad struct {
	name  string
	step  string        // of its bot
	delay time.Duration // of its endpoint
	// every is the time between two steps of a conversation, over which the conversations spread; 0: all begin at once, and
	// each asks for its next step when it has the reply.
	every time.Duration
}

// busyLoads are one that the machine can serve, 50 steps a second with 500 requests in flight, and one that it cannot, 600 a
// second: a worker has 512 requests of a tenant in flight.
var busyLoads = []busyLoad{
	{"within capacity", "busy_10s", 10 * time.Second, time.Minute},
	{"overload", "busy_5s", 5 * time.Second, 0},
}

var busyBot = schemas.BotID{Tenant: "busy", Bot: "bench"}

func (r *rig) writeBusyBot() error {
	dir := filepath.Join(r.dir, "bots", busyBot.Tenant)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := fmt.Appendf(nil, "bot: bench\ntenant: busy\nbase_urls: {test: \"http://%[1]s\", production: \"http://%[1]s\"}\n"+
		"bot_break: {default: sorry}\nsteps:\n", r.sink.addr())
	for _, l := range busyLoads {
		text = fmt.Appendf(text, "  %s: {webhook: {dialect: haptik, path: %s%s, timeout: 5m, attempt_timeout: 30s, "+
			"limits: {concurrency: 1000}}}\n",
			l.step, slowPath, l.delay)
	}
	return os.WriteFile(filepath.Join(dir, busyBot.Bot+".yaml"), text, 0o600)
}

// fairness measures how much a busy tenant slows a quiet one down, under the loads that are named; none: all.
func (r *rig) fairness(ctx context.Context, out io.Writer, loads []string) error {
	r.sink.delay.Store(0)
	r.load.patience = busyPatience
	defer func() { r.load.patience = replyTimeout }()
	if _, err := r.load.open(ctx, "pace-quiet", row{conversations: paceConversations, step: stepLocal}); err != nil {
		return err
	}
	for _, l := range busyLoads {
		if len(loads) > 0 && !slices.Contains(loads, l.name) {
			continue
		}
		phases, err := r.fairnessOf(ctx, l)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nA quiet tenant with %d steps a second beside one with %d conversations at an endpoint of %s, %s:\n\n"+
			"| measured | p50 ms | p99 ms | slowest ms | p99 : alone | CPU ms a second: server | worker | starter |\n"+
			"|---|---|---|---|---|---|---|---|\n", time.Second/quietEvery, busyConversations, l.delay, l.name)
		for _, p := range phases {
			p.print(out, phases[0])
		}
		printStages(out, phases)
	}
	return nil
}

// phase is what the quiet tenant measured in one of the phases of the other.
type phase struct {
	measurement

	name   string
	stages stages
}

func (p *phase) print(out io.Writer, alone *phase) {
	second := func(name string) string {
		return fmt.Sprintf("%.0f", float64(p.cpu[name].Milliseconds())/p.took.Seconds())
	}
	fmt.Fprintf(out, "| %s | %s | %s | %s | %.1f | %s | %s | %s |\n", p.name, ms(p.quantile(0.5)), ms(p.quantile(0.99)),
		ms(p.quantile(1)), p.quantile(0.99).Seconds()/alone.quantile(0.99).Seconds(), second(server), second(worker),
		second(starter))
}

// fairnessOf measures the quiet tenant alone, while the busy one opens its conversations, and when all of them are open.
func (r *rig) fairnessOf(ctx context.Context, l busyLoad) (all []*phase, err error) {
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	alone, err := r.quiet(ctx, "alone", fairnessRound)
	if err != nil {
		return nil, err
	}
	busy := &busyTenant{load: r.load, busyLoad: l}
	end := busy.begin(ctx)
	opening, err := r.quiet(ctx, "while they open", max(l.every, fairnessRound))
	if err == nil {
		err = busy.awaitOpen(ctx)
	}
	open, failed := (*phase)(nil), err
	if failed == nil {
		open, failed = r.quiet(ctx, "when they are open", fairnessRound)
	}
	return []*phase{alone, opening, open}, errors.Join(failed, end())
}

// quiet measures the quiet tenant for a time.
func (r *rig) quiet(ctx context.Context, name string, d time.Duration) (p *phase, err error) {
	p = &phase{name: name}
	r.load.stages.Store(&p.stages)
	defer r.load.stages.Store(nil)
	measured, failed := r.measured(func() (m measurement) {
		m, err = r.pace(ctx, "quiet", stepLocal, quietEvery, d)
		return m
	})
	p.measurement = measured
	return p, errors.Join(err, failed)
}

// busyTenant runs the load of the busy tenant.
type busyTenant struct {
	busyLoad

	load   *load
	opened atomic.Int64 // conversations that have had a reply
	failed atomic.Pointer[error]
}

// begin starts the load. end stops it, waits for the steps in hand, and returns the first error.
func (b *busyTenant) begin(ctx context.Context) (end func() error) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range busyConversations {
		wg.Go(func() { b.converse(ctx, i, done) })
	}
	return func() error {
		close(done)
		wg.Wait()
		if failed := b.failed.Load(); failed != nil {
			return *failed
		}
		return nil
	}
}

// converse runs steps of one conversation until done is closed or a step of any conversation fails.
func (b *busyTenant) converse(ctx context.Context, i int, done <-chan struct{}) {
	if wait(ctx, time.Duration(i)*b.every/busyConversations) != nil {
		return
	}
	for n := 0; b.failed.Load() == nil; n++ {
		took, err := b.load.stepTo(ctx, busyBot, fmt.Sprintf("%s-%d", b.step, i), b.step, schemas.OutcomeSuccess)
		if err != nil {
			b.failed.CompareAndSwap(nil, &err)
			return
		}
		if n == 0 {
			b.opened.Add(1)
		}
		select {
		case <-done:
			return
		case <-time.After(b.every - took):
		}
	}
}

// awaitOpen waits until every conversation has had a reply.
func (b *busyTenant) awaitOpen(ctx context.Context) error {
	for b.opened.Load() < busyConversations {
		if failed := b.failed.Load(); failed != nil {
			return *failed
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

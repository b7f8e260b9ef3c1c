package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// rounds is how often each contender is measured. The machine's speed may double or halve within minutes, so each runs for
	// a short time right beside the others, many times, and the median of the ratios in each round counts.
	rounds = 9
	// slice is how long each contender is measured in a round.
	slice = 3 * time.Second
	// openConversations is how many workflows are open while the limit and the bare design are measured.
	openConversations = 1000
)

// contender is one way to run steps on Temporal.
type contender struct {
	name    string
	meaning string
	measure func(ctx context.Context, window time.Duration) (measurement, error)
}

// The contenders that others are compared with.
const (
	nameYardstick = "yardstick"
	nameSample    = "sample"
	nameLimit     = "limit"
	nameBare      = "bare"
	nameBareChat  = "bare chat"
	nameChat      = "chat"
)

// contenders are all of a round, in the order in which they run.
func (r *rig) contenders() []contender {
	all := []contender{
		{nameYardstick, "a workflow with one no-op activity for each step",
			func(ctx context.Context, d time.Duration) (measurement, error) {
				return r.yardstick(ctx, yardWorkflow, d)
			}},
		{nameSample, "the style of samples: a workflow with two no-op activities for each step",
			func(ctx context.Context, d time.Duration) (measurement, error) {
				return r.yardstick(ctx, sampleWorkflow, d)
			}},
		{nameLimit, "an Update with a no-op handler: the least that a durable step can cost",
			func(ctx context.Context, d time.Duration) (measurement, error) { return r.bare(ctx, limitWorkflow, d) }},
		{nameBare, "an Update with one no-op local activity: the design without the product",
			func(ctx context.Context, d time.Duration) (measurement, error) { return r.bare(ctx, bareWorkflow, d) }},
		{nameBareChat, "five Updates of a new workflow that stays open", r.bareChats},
	}
	return append(all, r.hookturn("")...)
}

// hookturn are the contenders of one build of hookturn, whose name is in parentheses when it is not this one.
func (r *rig) hookturn(build string) []contender {
	open := func(conversations int) func(context.Context, time.Duration) (measurement, error) {
		return func(ctx context.Context, d time.Duration) (measurement, error) {
			return r.measure(ctx, row{inFlightMany, conversations, 0, stepLocal}, d)
		}
	}
	return []contender{
		{hookturnName(100) + build, "steps of 100 open conversations", open(100)},
		{hookturnName(1000) + build, "steps of 1,000 open conversations", open(1000)},
		{nameChat + build, "five steps of a new conversation, closed by the last", r.chats},
	}
}

// hookturnName names the contender whose conversations are open.
func hookturnName(conversations int) string { return fmt.Sprintf("%d open", conversations) }

// What marks the contenders of another build, and of this one with another environment.
const (
	beforeSuffix = " (before)"
	withSuffix   = " (with)"
)

// compare runs every contender in each round, in the opposite order in every second one, so that what a contender leaves
// behind does not meet the same other one each time.
func compare(ctx context.Context, out io.Writer, all []contender, n int) (*comparison, error) {
	c := &comparison{contenders: all, results: map[string][]measurement{}}
	for i := range n {
		fmt.Fprintf(out, "round %d:", i+1)
		order := slices.Clone(all)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, one := range order {
			m, err := one.measure(ctx, slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", one.name, err)
			}
			c.results[one.name] = append(c.results[one.name], m)
			fmt.Fprintf(out, " %s %.0f/s %s ms;", one.name, m.rate(), ms(m.cpuPerStep()))
		}
		fmt.Fprintln(out)
	}
	return c, nil
}

// comparison is what the rounds gave.
type comparison struct {
	contenders []contender
	results    map[string][]measurement
}

// ratio returns the median over the rounds of one contender's value in another's.
func (c *comparison) ratio(of, to string, value func(measurement) float64) (median float64, all []float64) {
	for i, m := range c.results[of] {
		if i < len(c.results[to]) {
			all = append(all, value(m)/value(c.results[to][i]))
		}
	}
	if len(all) == 0 {
		return 0, nil
	}
	slices.Sort(all)
	return all[len(all)/2], all
}

func (c *comparison) median(of string, value func(measurement) float64) float64 {
	var all []float64
	for _, m := range c.results[of] {
		all = append(all, value(m))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func rate(m measurement) float64 { return m.rate() }

func cpu(m measurement) float64 { return m.cpuPerStep().Seconds() * 1000 }

// targets are the ratios of docs/benchmarks, each with what is asked of it.
func (c *comparison) targets() []ratio {
	wanted := []ratio{
		{Of: hookturnName(1000), To: nameLimit, Target: 0.95},
		{Of: hookturnName(1000), To: nameBare},
		{Of: hookturnName(1000), To: nameYardstick, Target: 8},
		{Of: hookturnName(100), To: nameYardstick},
		{Of: nameChat, To: nameBareChat, Target: 0.9},
		{Of: nameChat, To: nameSample, Target: 8},
	}
	for _, one := range c.contenders {
		wanted = append(wanted, ratio{Of: one.name, To: one.name + beforeSuffix}, ratio{Of: one.name + withSuffix, To: one.name})
	}
	wanted = slices.DeleteFunc(wanted, func(r ratio) bool { return len(c.results[r.Of]) == 0 || len(c.results[r.To]) == 0 })
	for i, r := range wanted {
		wanted[i].Speed, wanted[i].Speeds = c.ratio(r.Of, r.To, rate)
		wanted[i].CPU, _ = c.ratio(r.To, r.Of, cpu)
	}
	return wanted
}

// ratio is one contender in terms of another: the median of the rounds.
type ratio struct {
	Of     string    `json:"of"`
	To     string    `json:"to"`
	Speed  float64   `json:"speed"`  // steps a second of the one in those of the other
	CPU    float64   `json:"cpu"`    // CPU of a step of the other in that of the one
	Target float64   `json:"target"` // for Speed; 0: none
	Speeds []float64 `json:"speeds"` // of every round, sorted
}

func (c *comparison) print(out io.Writer) {
	fmt.Fprintln(out, "\n| contender | what a step is | steps/s | a core | p50 ms | p99 ms | CPU ms a step "+
		"| server | worker | starter | load | database |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, one := range c.contenders {
		share := func(process string) float64 {
			return c.median(one.name, func(m measurement) float64 { return m.cpu.perStep(process, m.cpuSteps()).Seconds() * 1000 })
		}
		quantile := func(q float64) float64 {
			return c.median(one.name, func(m measurement) float64 { return m.quantile(q).Seconds() * 1000 })
		}
		fmt.Fprintf(out, "| %s | %s | %.0f | %.0f | %.1f | %.1f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n",
			one.name, one.meaning,
			c.median(one.name, rate), 1000/c.median(one.name, cpu), quantile(0.5), quantile(0.99), c.median(one.name, cpu),
			share(server), share(worker), share(starter), share(engine), share(database))
	}
	fmt.Fprintln(out, "\n| ratio | steps/s | range | CPU | target |")
	fmt.Fprintln(out, "|---|---|---|---|---|")
	for _, r := range c.targets() {
		target := ""
		if r.Target > 0 {
			target = fmt.Sprintf("%.2f", r.Target)
		}
		fmt.Fprintf(out, "| %s : %s | %.2f | %.2f to %.2f | %.2f | %s |\n",
			r.Of, r.To, r.Speed, r.Speeds[0], r.Speeds[len(r.Speeds)-1], r.CPU, target)
	}
}

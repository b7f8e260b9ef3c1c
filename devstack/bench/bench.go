// Package bench compares hookturn with Temporal alone (one workflow with one no-op activity for each step) on the same
// server in the same run. The ratio is comparable between machines; absolute numbers are not.
//
// Servers, worker and starter run as separate processes, as in production, so that the CPU time of each is measured. The
// load generator and the webhook endpoint share this process.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// settings are the flags.
type settings struct {
	perRow     time.Duration
	quick      bool
	noisy      bool
	gateway    bool
	growth     bool
	idle       int
	parts      []string
	profile    string
	only       string
	contenders []string
	rounds     int
	before     string
	programs   string
	with       []string
	busy       []string
	postgres   string
	report     string

	postgresPID int // of the server that the benchmark started, 0: another one
}

// Command is "devstack bench".
func Command() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure steps a second, latency and CPU beside Temporal alone",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), s)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&s.perRow, "per-row", 6*time.Second, "how long each row is measured")
	f.StringVar(&s.only, "only", "",
		"only this row, and no comparison: first attempt/in flight/conversations/delay, as in local/64/1000/0s, or chat, "+
			"openings, recovery, fairness or memory")
	f.StringSliceVar(&s.contenders, "contenders", nil, "only these contenders, as in limit,chat,\"1000 open\"")
	f.IntVar(&s.rounds, "rounds", rounds, "rounds of the comparison")
	f.StringVar(&s.before, "before", "",
		"another build, which is measured in each round beside this one: a devstack, or a directory with a worker and a starter")
	f.StringVar(&s.programs, "programs", "", "directory of the worker and the starter that run; empty: those in this program")
	f.StringArrayVar(&s.with, "with", nil,
		"an environment variable, as in NAME=value, with which this build is measured once more in each round")
	f.StringVar(&s.postgres, "temporal-postgres", "",
		"PostgreSQL of Temporal, as in postgres://user:password@host:port/db; start: Debian's, for this run; empty: SQLite")
	f.StringVar(&s.report, "json", "", "write the figures as JSON to this file")
	f.StringVar(&s.profile, "profile", "", "write CPU profiles of server, worker and starter to this directory")
	f.StringSliceVar(&s.busy, "busy", nil, "only these loads of --only fairness: within capacity, overload")
	f.BoolVar(&s.noisy, "neighbour", false, "measure only the noisy neighbour")
	f.BoolVar(&s.gateway, "gateway", false, "measure only the gateway: channels' scripts and WebSocket connections")
	f.BoolVar(&s.growth, "growth", false,
		"measure only how the throughput changes with conversations, events, bots, tenants and processes")
	f.IntVar(&s.idle, "idle", 100_000, "idle conversations that --growth opens")
	f.StringSliceVar(&s.parts, "parts", nil, "only these parts of --growth: processes, owners, open, events")
	f.BoolVar(&s.quick, "quick", false, "measure only the comparison and the unloaded latencies")
	return cmd
}

// row is one load to measure.
type row struct {
	inFlight, conversations int
	delay                   time.Duration // of the endpoint
	step                    string        // of the benchmark's bot
}

func (r row) String() string {
	return fmt.Sprintf("%s/%d/%d/%s", r.step, r.inFlight, r.conversations, r.delay)
}

// rows are the loads of the table.
func rows() []row {
	var all []row
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		for _, inFlight := range []int{1, 32, 64} {
			for _, conversations := range []int{100, 1000} {
				all = append(all, row{inFlight, conversations, delay, stepLocal})
			}
		}
	}
	return append(all,
		row{1, 100, 0, stepActivity}, row{64, 1000, 0, stepActivity}, row{64, 1000, 50 * time.Millisecond, stepActivity})
}

func run(ctx context.Context, out, logs io.Writer, s settings) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if s.postgres == postgresStart {
		stop, err := s.startPostgres(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	rig, err := newRig(ctx, logs, s, self)
	if err != nil {
		return err
	}
	defer rig.close()
	if err := rig.run(ctx, out, s); err != nil {
		return err
	}
	return errors.Join(rig.load.check(ctx), rig.sink.check())
}

func (r *rig) run(ctx context.Context, out io.Writer, s settings) error {
	switch {
	case s.noisy:
		return r.neighbour(ctx, out)
	case s.gateway:
		return r.gateway(ctx, out)
	case s.growth:
		return r.growth(ctx, out, s)
	case s.only != "":
		return r.single(ctx, out, s)
	}
	c, err := r.comparison(ctx, out, s)
	if err != nil {
		return err
	}
	c.print(out)
	if err := r.firstSteps(ctx, out); err != nil {
		return err
	}
	if s.report != "" {
		if err := c.write(s.report); err != nil {
			return err
		}
	}
	if s.quick || len(s.contenders) > 0 {
		return nil
	}
	for _, part := range []func(context.Context, io.Writer) error{
		func(ctx context.Context, out io.Writer) error { return r.table(ctx, out, s.perRow) },
		r.neighbour, func(ctx context.Context, out io.Writer) error { return r.fairness(ctx, out, s.busy) },
		r.recovery, r.memory, r.gateway,
	} {
		if err := part(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

// Parts of the benchmark that --only names.
const (
	partRecovery = "recovery"
	partMemory   = "memory"
	partOpenings = "openings"
	partFairness = "fairness"
)

// comparison measures all contenders, and those of another build when one is given.
func (r *rig) comparison(ctx context.Context, out io.Writer, s settings) (*comparison, error) {
	all := r.contenders()
	if (s.before != "" || len(s.with) > 0) && s.postgres != "" {
		return nil, errors.New("--before and --with exclude --temporal-postgres: two systems would use one database")
	}
	if s.before != "" {
		program, programs, err := build(r.program, s.before)
		if err != nil {
			return nil, err
		}
		before, err := newRig(ctx, r.logs, settings{programs: programs}, program)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", s.before, err)
		}
		defer before.close()
		all = append(all, before.hookturn(beforeSuffix)...)
	}
	if len(s.with) > 0 {
		with, err := newRig(ctx, r.logs, settings{with: s.with, programs: s.programs}, r.program)
		if err != nil {
			return nil, fmt.Errorf("start with %s: %w", strings.Join(s.with, " "), err)
		}
		defer with.close()
		all = append(all, with.hookturn(withSuffix)...)
	}
	if len(s.contenders) > 0 {
		all = slices.DeleteFunc(all, func(c contender) bool {
			name := strings.TrimSuffix(strings.TrimSuffix(c.name, beforeSuffix), withSuffix)
			return !slices.Contains(s.contenders, name)
		})
	}
	return compare(ctx, out, all, s.rounds)
}

// single measures one row, for a profile.
func (r *rig) single(ctx context.Context, out io.Writer, s settings) error {
	switch s.only {
	case partRecovery:
		return r.recovery(ctx, out)
	case partFairness:
		return r.fairness(ctx, out, s.busy)
	case partMemory:
		return r.memory(ctx, out)
	case partOpenings:
		return r.openings(ctx, out, s.perRow)
	case nameChat:
		m, err := r.chats(ctx, s.perRow)
		if err == nil {
			report(out, []row{{inFlightMany, 0, 0, nameChat}}, []measurement{m})
		}
		return err
	}
	chosen := slices.DeleteFunc(rows(), func(r row) bool { return r.String() != s.only })
	if len(chosen) == 0 {
		return fmt.Errorf("invalid row %q, expected first attempt/in flight/conversations/delay, as in local/64/1000/0s, "+
			"or chat, openings, recovery, fairness or memory", s.only)
	}
	m, err := r.measure(ctx, chosen[0], s.perRow)
	if err == nil {
		report(out, chosen, []measurement{m})
	}
	return err
}

// table measures every row of the grid of loads.
func (r *rig) table(ctx context.Context, out io.Writer, each time.Duration) error {
	all := rows()
	measured := make([]measurement, len(all))
	for i, w := range all {
		m, err := r.measure(ctx, w, each)
		if err != nil {
			return fmt.Errorf("row %s: %w", w, err)
		}
		measured[i] = m
	}
	report(out, all, measured)
	fresh := measurement{latencies: r.opened}
	fmt.Fprintf(out, "\nfirst steps of %d new conversations, %d in flight: p50 %s ms, p99 %s ms, slowest %s ms\n",
		fresh.steps(), inFlightMany, ms(fresh.quantile(0.5)), ms(fresh.quantile(0.99)), ms(fresh.quantile(1)))
	return nil
}

// report prints the table.
func report(out io.Writer, rows []row, measured []measurement) {
	fmt.Fprintln(out, "\n| first attempt | in flight | conversations | endpoint | steps/s | p50 ms | p99 ms | p99/p50 "+
		"| added p50 ms | added p99 ms | CPU ms a step | server | worker | starter | load |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for i, r := range rows {
		printRow(out, r, measured[i])
	}
}

func printRow(out io.Writer, r row, m measurement) {
	p50, p99 := m.quantile(0.5), m.quantile(0.99)
	fmt.Fprintf(out, "| %s | %d | %d | %s | %.0f | %s | %s | %.1f | %s | %s | %s | %s | %s | %s | %s |\n",
		r.step, r.inFlight, r.conversations, r.delay, m.rate(), ms(p50), ms(p99), p99.Seconds()/p50.Seconds(),
		ms(p50-r.delay), ms(p99-r.delay), ms(m.cpuPerStep()), ms(m.cpu.perStep(server, m.cpuSteps())),
		ms(m.cpu.perStep(worker, m.cpuSteps())), ms(m.cpu.perStep(starter, m.cpuSteps())),
		ms(m.cpu.perStep(engine, m.cpuSteps())))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

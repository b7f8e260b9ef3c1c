// Package bench compares hookturn with Temporal alone (one workflow with one no-op activity for each step) on the same
// server in the same run. The ratio is comparable between machines; absolute numbers are not.
//
// Servers, worker and starter run as separate processes, as in production, so that the CPU time of each is measured. The
// load generator and the webhook endpoint share this process.
package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// settings are the flags.
type settings struct {
	perRow  time.Duration
	quick   bool
	noisy   bool
	gateway bool
	profile string
	only    string
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
	cmd.Flags().DurationVar(&s.perRow, "per-row", 6*time.Second, "how long each row is measured")
	cmd.Flags().StringVar(&s.only, "only", "",
		"only this row, and no yardstick: first attempt/in flight/conversations/delay, as in local/64/1000/0s")
	cmd.Flags().StringVar(&s.profile, "profile", "", "write CPU profiles of server, worker and starter to this directory")
	cmd.Flags().BoolVar(&s.noisy, "neighbour", false, "measure only the noisy neighbour")
	cmd.Flags().BoolVar(&s.gateway, "gateway", false, "measure only the gateway: channels' scripts and WebSocket connections")
	cmd.Flags().BoolVar(&s.quick, "quick", false, "measure only the rows for the ratio and the unloaded latency")
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

func (s settings) rows() []row {
	if s.only != "" {
		return slices.DeleteFunc(rows(false), func(r row) bool { return r.String() != s.only })
	}
	return rows(s.quick)
}

func rows(quick bool) []row {
	if quick {
		return []row{{1, 100, 0, stepLocal}, {64, 100, 0, stepLocal}, {64, 1000, 0, stepLocal}}
	}
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
	rig, err := newRig(ctx, logs, s.profile)
	if err != nil {
		return err
	}
	defer rig.close()
	switch {
	case s.noisy:
		return rig.neighbour(ctx, out)
	case s.gateway:
		return rig.gateway(ctx, out)
	}
	var before, after measurement
	if s.only == "" {
		if before, err = rig.yardstick(ctx, yardInFlight, s.perRow); err != nil {
			return err
		}
	}
	measured := make([]measurement, len(s.rows()))
	for i, r := range s.rows() {
		if measured[i], err = rig.measure(ctx, r, s.perRow); err != nil {
			return fmt.Errorf("row %s: %w", r, err)
		}
	}
	if s.only == "" {
		if after, err = rig.yardstick(ctx, yardInFlight, s.perRow); err != nil {
			return err
		}
	}
	report(out, s.rows(), measured, before, after)
	fresh := measurement{latencies: rig.opened}
	fmt.Fprintf(out, "\nfirst steps of %d new conversations, 64 in flight: p50 %s ms, p99 %s ms, slowest %s ms\n",
		fresh.steps(), ms(fresh.quantile(0.5)), ms(fresh.quantile(0.99)), ms(fresh.quantile(1)))
	if s.only != "" {
		return nil
	}
	if err := rig.ratios(ctx, out); err != nil || s.quick {
		return err
	}
	if err := rig.neighbour(ctx, out); err != nil {
		return err
	}
	if err := rig.recovery(ctx, out); err != nil {
		return err
	}
	if err := rig.memory(ctx, out); err != nil {
		return err
	}
	return rig.gateway(ctx, out)
}

// yardInFlight is how many workflows the yardstick keeps in flight.
const yardInFlight = 64

// report prints the table. Its yardstick is the mean of a measurement before the rows and one after them.
func report(out io.Writer, rows []row, measured []measurement, before, after measurement) {
	yard := (before.rate() + after.rate()) / 2
	fmt.Fprintf(out, "yardstick: %.0f steps/s before, %.0f after; p50 %s ms, p99 %s ms, server CPU %s ms a step "+
		"(Temporal alone: a workflow with one no-op activity a step, %d in flight)\n\n", before.rate(), after.rate(),
		ms(before.quantile(0.5)), ms(before.quantile(0.99)), ms(before.cpu.perStep(server, before.steps())), yardInFlight)
	fmt.Fprintln(out, "| first attempt | in flight | conversations | endpoint | steps/s | ratio | p50 ms | p99 ms | p99/p50 "+
		"| added p50 ms | added p99 ms | server CPU ms | worker | starter | load |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for i, r := range rows {
		m := measured[i]
		ratio := m.rate() / yard
		p50, p99 := m.quantile(0.5), m.quantile(0.99)
		fmt.Fprintf(out, "| %s | %d | %d | %s | %.0f | %.2f | %s | %s | %.1f | %s | %s | %s | %s | %s | %s |\n",
			r.step, r.inFlight, r.conversations, r.delay, m.rate(), ratio, ms(p50), ms(p99), p99.Seconds()/p50.Seconds(),
			ms(p50-r.delay), ms(p99-r.delay), ms(m.cpu.perStep(server, m.steps())), ms(m.cpu.perStep(worker, m.steps())),
			ms(m.cpu.perStep(starter, m.steps())), ms(m.cpu.perStep(engine, m.steps())))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

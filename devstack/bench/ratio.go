package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// pairs is how often the ratio is measured. The machine's speed may double or halve within minutes, so each side runs for a
	// short time right beside the other, many times, and the median of the ratios counts.
	pairs = 9
	// slice is how long each side of a pair runs.
	slice = 3 * time.Second
)

// ratios prints what the benchmark is for: hookturn's steps a second in those of Temporal alone. Beside it stands the same
// of the CPU that all processes use for a step.
func (r *rig) ratios(ctx context.Context, out io.Writer) error {
	speed, work := map[int][]float64{}, map[int][]float64{}
	conversations := []int{100, 1000}
	for i := range pairs {
		yard, err := r.yardstick(ctx, yardInFlight, slice)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "pair %d: yardstick %.0f steps/s, %s ms of CPU a step", i+1, yard.rate(), ms(yard.cpuPerStep()))
		for _, n := range conversations {
			m, err := r.measure(ctx, row{yardInFlight, n, 0, stepLocal}, slice)
			if err != nil {
				return err
			}
			speed[n] = append(speed[n], m.rate()/yard.rate())
			work[n] = append(work[n], yard.cpuPerStep().Seconds()/m.cpuPerStep().Seconds())
			fmt.Fprintf(out, "; over %d conversations %.0f steps/s, %s ms", n, m.rate(), ms(m.cpuPerStep()))
		}
		fmt.Fprintln(out)
	}
	for _, n := range conversations {
		slices.Sort(speed[n])
		slices.Sort(work[n])
		fmt.Fprintf(out, "\n%d pairs at %d in flight, over %d conversations: %.2f (CPU: %.2f)\n",
			pairs, yardInFlight, n, speed[n], work[n])
		fmt.Fprintf(out, "CPU ratio over %d conversations: %.2f\n", n, work[n][pairs/2])
	}
	fmt.Fprintf(out, "ratio to yardstick over 100 conversations: %.2f\n", speed[100][pairs/2])
	fmt.Fprintf(out, "ratio to yardstick: %.2f\n", speed[1000][pairs/2])
	return nil
}

package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// openings measures the first steps of conversations alone, more and more of them at a time. Each event opens another one.
func (r *rig) openings(ctx context.Context, out io.Writer, d time.Duration) error {
	var loads []row
	var measured []measurement
	for _, inFlight := range []int{inFlightMany, 256, 1000} {
		w := row{inFlight, 0, 0, stepLocal}
		r.sink.delay.Store(0)
		if err := r.settle(ctx); err != nil {
			return err
		}
		prefix := "opening-" + uuid.NewString()
		m, err := r.steady(ctx, inFlight, d, func(n int) error {
			_, err := r.load.step(ctx, fmt.Sprintf("%s-%d", prefix, n), w.step)
			return err
		})
		if err != nil {
			return fmt.Errorf("%d in flight: %w", inFlight, err)
		}
		loads, measured = append(loads, w), append(measured, m)
	}
	report(out, loads, measured)
	return nil
}

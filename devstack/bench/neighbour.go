package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// A noisy neighbour: the steps of a dead endpoint come a hundred times as often as those of a good one.
const (
	goodEvery  = 500 * time.Millisecond
	timesAsBad = 100
	// neighbourRounds are measured without and with the neighbour by turns, each for neighbourRound.
	neighbourRounds = 3
	neighbourRound  = 40 * time.Second
	// paceConversations is how many conversations each of the two has.
	paceConversations = 200
)

// deadEndpoint takes connections and never answers: the worst kind, because every request waits for its time-out.
func deadEndpoint() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// neighbour measures how much a dead endpoint under load slows a good one down.
func (r *rig) neighbour(ctx context.Context, out io.Writer) error {
	r.sink.delay.Store(0)
	for _, step := range []string{stepLocal, stepDead} { // conversations are open before anything counts
		if _, err := r.load.open(ctx, "pace-"+step, row{conversations: paceConversations, step: stepLocal}); err != nil {
			return err
		}
	}
	var quiet, noisy measurement
	for range neighbourRounds {
		if err := r.settle(ctx); err != nil {
			return err
		}
		alone, err := r.pace(ctx, stepLocal, goodEvery, neighbourRound)
		if err != nil {
			return err
		}
		var (
			wg          sync.WaitGroup
			noise       measurement
			noiseFailed error
		)
		wg.Go(func() { noise, noiseFailed = r.pace(ctx, stepDead, goodEvery/timesAsBad, neighbourRound) })
		beside, err := r.pace(ctx, stepLocal, goodEvery, neighbourRound)
		wg.Wait()
		if err := errors.Join(err, noiseFailed); err != nil {
			return err
		}
		quiet.latencies = append(quiet.latencies, alone.latencies...)
		noisy.latencies = append(noisy.latencies, beside.latencies...)
		fmt.Fprintf(out, "\nneighbour: alone p99 %s ms; beside %d steps of a dead endpoint p99 %s ms; those took p99 %s ms",
			ms(alone.quantile(0.99)), noise.steps(), ms(beside.quantile(0.99)), ms(noise.quantile(0.99)))
	}
	fmt.Fprintf(out, "\nnoisy neighbour, %d times the load: p50 %s -> %s ms, p99 %s -> %s ms\n", timesAsBad,
		ms(quiet.quantile(0.5)), ms(noisy.quantile(0.5)), ms(quiet.quantile(0.99)), ms(noisy.quantile(0.99)))
	fmt.Fprintf(out, "p99 beside a noisy neighbour: %.2f times the p99 alone\n",
		noisy.quantile(0.99).Seconds()/quiet.quantile(0.99).Seconds())
	return nil
}

// pace starts a step at a fixed rate, however long the ones before take, and waits for all of them.
func (r *rig) pace(ctx context.Context, step string, every, d time.Duration) (measurement, error) {
	want := schemas.OutcomeSuccess
	if step == stepDead {
		want = schemas.OutcomeBotBreak
	}
	var (
		m     measurement
		mu    sync.Mutex
		wg    sync.WaitGroup
		first error
	)
	started := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; time.Since(started) < d; n++ {
		wg.Go(func() {
			took, err := r.load.stepTo(ctx, fmt.Sprintf("pace-%s-%d", step, n%paceConversations), step, want)
			mu.Lock()
			defer mu.Unlock()
			m.latencies = append(m.latencies, took)
			if first == nil {
				first = err
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
	wg.Wait()
	m.took = time.Since(started)
	return m, first
}

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

// A noisy neighbour sends steps a hundred times as often as a good tenant. The benchmark measures it with a dead
// endpoint, and with a healthy one to show the cost of the number of steps alone.
const (
	goodEvery  = time.Second
	timesAsBad = 100
	// neighbourRounds are measured alone and beside each neighbour by turns, each for neighbourRound.
	neighbourRounds = 2
	neighbourRound  = 40 * time.Second
	// paceConversations is how many conversations each of them has.
	paceConversations = 200
)

// deadEndpoint accepts connections and never answers: the worst case, because every request waits for its timeout.
func deadEndpoint() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// neighbour measures how much a dead endpoint under load slows a good one down.
func (r *rig) neighbour(ctx context.Context, out io.Writer) error {
	r.sink.delay.Store(0)
	for _, name := range []string{"good", stepDead, stepLocal} { // conversations are open before anything counts
		if _, err := r.load.open(ctx, "pace-"+name, row{conversations: paceConversations, step: stepLocal}); err != nil {
			return err
		}
	}
	beside := map[string]*measurement{"": {}, stepLocal: {}, stepDead: {}}
	for range neighbourRounds {
		for _, neighbour := range []string{"", stepLocal, stepDead} {
			if err := r.settle(ctx); err != nil {
				return err
			}
			good, err := r.beside(ctx, neighbour)
			if err != nil {
				return err
			}
			beside[neighbour].latencies = append(beside[neighbour].latencies, good.latencies...)
		}
	}
	alone, well, dead := beside[""], beside[stepLocal], beside[stepDead]
	fmt.Fprintf(out, "\na neighbour with %d times the load, p50 and p99: alone %s and %s ms, beside a well one %s and %s ms, "+
		"beside a dead one %s and %s ms\n", timesAsBad, ms(alone.quantile(0.5)), ms(alone.quantile(0.99)),
		ms(well.quantile(0.5)), ms(well.quantile(0.99)), ms(dead.quantile(0.5)), ms(dead.quantile(0.99)))
	fmt.Fprintf(out, "p99 beside a dead neighbour: %.2f times that beside a well one, %.2f times that alone\n",
		dead.quantile(0.99).Seconds()/well.quantile(0.99).Seconds(), dead.quantile(0.99).Seconds()/alone.quantile(0.99).Seconds())
	return nil
}

// beside measures good steps while a neighbour sends steps; "" = no neighbour.
func (r *rig) beside(ctx context.Context, neighbour string) (measurement, error) {
	var wg sync.WaitGroup
	var noise error
	if neighbour != "" {
		wg.Go(func() { _, noise = r.pace(ctx, neighbour, neighbour, goodEvery/timesAsBad, neighbourRound) })
	}
	good, err := r.pace(ctx, "good", stepLocal, goodEvery, neighbourRound)
	wg.Wait()
	return good, errors.Join(err, noise)
}

// pace starts a step at a fixed rate, however long the ones before take, and waits for all of them.
func (r *rig) pace(ctx context.Context, name, step string, every, d time.Duration) (measurement, error) {
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
			took, err := r.load.stepTo(ctx, r.load.bot, fmt.Sprintf("pace-%s-%d", name, n%paceConversations), step, want)
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

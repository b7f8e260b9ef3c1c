package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// A busy tenant has thousands of conversations at once whose endpoint takes seconds. The benchmark measures the steps of a
// quiet tenant, alone and beside it.
const (
	busyConversations = 3000
	busyDelay         = 25 * time.Second // of the busy tenant's endpoint: 120 steps a second, which one machine can serve
	quietEvery        = 50 * time.Millisecond
	// fairnessRounds are measured alone and beside the busy tenant by turns, each for fairnessRound.
	fairnessRounds = 2
	fairnessRound  = 20 * time.Second
	// busyPatience is how long a step of the busy tenant may take: it waits for its share of the worker.
	busyPatience = 5 * time.Minute
	stepBusy     = "busy"
)

var busyBot = schemas.BotID{Tenant: "busy", Bot: "bench"}

const busyBotFile = `bot: bench
tenant: busy
base_urls: {test: "http://%[1]s", production: "http://%[1]s"}
bot_break: {default: "sorry"}
steps:
  %[2]s: {webhook: {dialect: haptik, path: %[3]s, timeout: 5m, attempt_timeout: 30s}}
`

func (r *rig) writeBusyBot() error {
	dir := filepath.Join(r.dir, "bots", busyBot.Tenant)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := fmt.Appendf(nil, busyBotFile, r.sink.addr(), stepBusy, slowPath)
	return os.WriteFile(filepath.Join(dir, busyBot.Bot+".yaml"), text, 0o600)
}

// fairness measures how much a busy tenant slows a quiet one down.
func (r *rig) fairness(ctx context.Context, out io.Writer) error {
	r.sink.delay.Store(0)
	r.load.patience = busyPatience
	defer func() { r.load.patience = replyTimeout }()
	if _, err := r.load.open(ctx, "pace-quiet", row{conversations: paceConversations, step: stepLocal}); err != nil {
		return err
	}
	var alone, beside measurement
	for range fairnessRounds {
		if err := r.settle(ctx); err != nil {
			return err
		}
		m, err := r.pace(ctx, "quiet", stepLocal, quietEvery, fairnessRound)
		if err != nil {
			return err
		}
		alone.latencies = append(alone.latencies, m.latencies...)
		if m, err = r.besideBusy(ctx); err != nil {
			return err
		}
		beside.latencies = append(beside.latencies, m.latencies...)
	}
	fmt.Fprintf(out, "\na quiet tenant, %d steps a second, p50 and p99: alone %s and %s ms, beside a tenant with %d "+
		"conversations at an endpoint of %s %s and %s ms; p99 beside it is %.2f times that alone\n",
		time.Second/quietEvery, ms(alone.quantile(0.5)), ms(alone.quantile(0.99)), busyConversations, busyDelay,
		ms(beside.quantile(0.5)), ms(beside.quantile(0.99)), beside.quantile(0.99).Seconds()/alone.quantile(0.99).Seconds())
	return nil
}

// besideBusy measures the quiet tenant while each conversation of the busy one has a step in hand, and waits for their ends.
// The conversations begin one after another: what 3,000 openings at once cost is the row of the openings.
func (r *rig) besideBusy(ctx context.Context) (measurement, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		noise error
	)
	done := make(chan struct{})
	for i := range busyConversations {
		wg.Go(func() {
			if wait(ctx, time.Duration(i)*busyDelay/busyConversations) != nil {
				return
			}
			for {
				_, err := r.load.stepTo(ctx, busyBot, fmt.Sprintf("busy-%d", i), stepBusy, schemas.OutcomeSuccess)
				mu.Lock()
				noise = errors.Join(noise, err)
				failed := noise != nil
				mu.Unlock()
				select {
				case <-done:
					return
				default:
				}
				if failed {
					return
				}
			}
		})
	}
	var m measurement
	err := wait(ctx, busyDelay)
	if err == nil {
		m, err = r.pace(ctx, "quiet", stepLocal, quietEvery, fairnessRound)
	}
	close(done)
	wg.Wait()
	return m, errors.Join(err, noise)
}

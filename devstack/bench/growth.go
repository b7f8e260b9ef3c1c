package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/schemas"
)

// growth measures how the throughput changes when one thing grows. Right before each point the same load runs with nothing
// grown, so that a ratio is of the same minute.
func (r *rig) growth(ctx context.Context, out io.Writer, s settings) error {
	fmt.Fprintln(out, "| what grows | to | steps/s | of the load before | p50 ms | p99 ms | CPU ms a step |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for _, part := range []struct {
		name string
		grow func(context.Context, io.Writer, settings) error
	}{{"processes", r.growProcesses}, {"owners", r.growOwners}, {"open", r.growOpen}, {"events", r.growEvents}} {
		if len(s.parts) > 0 && !slices.Contains(s.parts, part.name) {
			continue
		}
		if err := part.grow(ctx, out, s); err != nil {
			return err
		}
	}
	return nil
}

// point measures a load beside the plain one.
func (r *rig) point(ctx context.Context, out io.Writer, what, to string, d time.Duration,
	load func(context.Context) (measurement, error),
) error {
	plain, err := r.measure(ctx, row{inFlightMany, openConversations, 0, stepLocal}, d)
	if err != nil {
		return err
	}
	m, err := load(ctx)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", what, to, err)
	}
	fmt.Fprintf(out, "| %s | %s | %.0f | %.2f | %s | %s | %s |\n", what, to, m.rate(), m.rate()/plain.rate(),
		ms(m.quantile(0.5)), ms(m.quantile(0.99)), ms(m.cpuPerStep()))
	return nil
}

// growOpen measures the load beside conversations that are open and idle. A load of one conversation has one step in flight.
func (r *rig) growOpen(ctx context.Context, out io.Writer, s settings) error {
	d := s.perRow
	one := row{1, 1, 0, stepLocal}
	if err := r.point(ctx, out, "conversations, one step in flight", "1", d, func(ctx context.Context) (measurement, error) {
		return r.measure(ctx, one, d)
	}); err != nil {
		return err
	}
	plain := row{inFlightMany, openConversations, 0, stepLocal}
	idle := 0
	for _, to := range []int{s.idle / 100, s.idle / 10, s.idle} {
		began := time.Now()
		if err := r.openIdle(ctx, idle, to); err != nil {
			return err
		}
		fmt.Fprintf(r.logs, "%d idle conversations opened in %.0f s\n", to-idle, time.Since(began).Seconds())
		idle = to
		if err := r.point(ctx, out, "idle open conversations", fmt.Sprint(to), d, func(ctx context.Context) (measurement, error) {
			return r.measure(ctx, plain, d)
		}); err != nil {
			return err
		}
	}
	return r.lookups(ctx, out, idle)
}

// growEvents measures conversations that have had many events.
func (r *rig) growEvents(ctx context.Context, out io.Writer, s settings) error {
	const conversations = 4
	prefix, d := "long-"+uuid.NewString(), s.perRow
	w := row{conversations, conversations, 0, stepLocal}
	had := 0
	for _, to := range []int{10, 1_000, 10_000} {
		if _, err := r.load.steps(ctx, prefix, w, (to-had)*w.conversations); err != nil {
			return err
		}
		had = to
		if err := r.point(ctx, out, "events that 4 conversations have had, 4 steps in flight", fmt.Sprint(to), d,
			func(ctx context.Context) (measurement, error) {
				return r.steady(ctx, w.inFlight, d, r.load.turns(ctx, prefix, w))
			}); err != nil {
			return err
		}
	}
	return nil
}

// growOwners measures the load spread over bots of one tenant, and over tenants.
func (r *rig) growOwners(ctx context.Context, out io.Writer, s settings) error {
	d := s.perRow
	const bots, tenants = 1_000, 100
	var owners [2][]schemas.BotID
	for n := range bots {
		owners[0] = append(owners[0], schemas.BotID{Tenant: "default", Bot: fmt.Sprintf("bench%d", n)})
	}
	for n := range tenants {
		owners[1] = append(owners[1], schemas.BotID{Tenant: fmt.Sprintf("tenant%d", n), Bot: "bench"})
	}
	for i, what := range []string{"bots of one tenant", "tenants with a bot each"} {
		if err := r.addBots(owners[i]); err != nil {
			return err
		}
		spread := func(n int) error {
			_, err := r.load.stepTo(ctx, owners[i][n%len(owners[i])], fmt.Sprintf("spread-%d", n%openConversations), stepLocal,
				schemas.OutcomeSuccess)
			return err
		}
		if err := r.awaitBot(ctx, owners[i][len(owners[i])-1]); err != nil {
			return err
		}
		if err := r.point(ctx, out, what, fmt.Sprint(len(owners[i])), d, func(ctx context.Context) (measurement, error) {
			opened := drive(inFlightMany, func(n int) bool { return n < openConversations }, spread, func(time.Duration) {})
			if opened != nil {
				return measurement{}, opened
			}
			if err := r.settle(ctx); err != nil {
				return measurement{}, err
			}
			return r.steady(ctx, inFlightMany, d, spread)
		}); err != nil {
			return err
		}
	}
	return nil
}

// growthBot is one of many bots.
const growthBot = `bot: %s
tenant: %s
dialect: haptik
base_urls: {test: "http://%s"}
secrets: {key: {file: key}}
bot_break: {default: "sorry"}
steps: {%s: {webhook: {path: /bench, secret: key}}}
`

// addBots writes copies of the benchmark's bot file.
func (r *rig) addBots(owners []schemas.BotID) error {
	for _, owner := range owners {
		dir := filepath.Join(r.dir, "bots", owner.Tenant)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "key"), []byte("benchmark"), 0o600); err != nil {
			return err
		}
		text := fmt.Appendf(nil, growthBot, owner.Bot, owner.Tenant, r.sink.addr(), stepLocal)
		if err := os.WriteFile(filepath.Join(dir, owner.Bot+".yaml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// awaitBot waits until a bot's file is read.
func (r *rig) awaitBot(ctx context.Context, owner schemas.BotID) error {
	var err error
	for n := range 60 {
		_, err = r.load.stepTo(ctx, owner, fmt.Sprintf("await-%s-%d", owner.Bot, n), stepLocal, schemas.OutcomeSuccess)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return err
}

// growProcesses measures the load with more workers and starters.
func (r *rig) growProcesses(ctx context.Context, out io.Writer, s settings) error {
	for _, to := range []int{2, 4} {
		if err := r.point(ctx, out, "workers and starters", fmt.Sprintf("%d of each", to), s.perRow,
			func(ctx context.Context) (measurement, error) { return r.withProcesses(ctx, to, s.perRow) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) withProcesses(ctx context.Context, number int, d time.Duration) (measurement, error) {
	var more []string
	defer func() {
		for _, name := range more {
			r.processes[name].stop()
			delete(r.processes, name)
		}
	}()
	for n := 1; n < number; n++ {
		for _, program := range []string{worker, starter} {
			p, err := r.spawnProgram(program)
			if err != nil {
				return measurement{}, err
			}
			name := fmt.Sprintf("%s%d", program, n+1)
			r.processes[name] = p
			more = append(more, name)
		}
	}
	if err := wait(ctx, 5*time.Second); err != nil { // the starters share the partitions
		return measurement{}, err
	}
	w := row{inFlightMany, openConversations, 0, stepLocal}
	prefix := "processes-" + uuid.NewString()
	for range 2 { // until every worker has conversations
		if _, err := r.load.open(ctx, prefix, w); err != nil {
			return measurement{}, err
		}
	}
	if err := r.settle(ctx); err != nil {
		return measurement{}, err
	}
	return r.steady(ctx, w.inFlight, d, r.load.turns(ctx, prefix, w))
}

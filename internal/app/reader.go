package app

import (
	"context"
	"fmt"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// slowCall is longer than any endpoint makes Temporal wait before it accepts an Update: a worker whose first attempt at a
// slow endpoint goes on sends a heartbeat after four fifths of dispatch.WorkflowTaskTimeout, and the Update is accepted with
// it.
const slowCall = dispatch.WorkflowTaskTimeout

// startReader returns the event reader of a starter, which reads.
func startReader(
	ctx context.Context, cfg Config, base *base, in *intake.Intake, files *rollout.Files,
) (*eventreader.Reader, error) {
	reader := eventreader.NewReader(base.js, base.streams, readerOptions(cfg, base, in, files))
	if err := reader.Start(ctx); err != nil {
		return nil, fmt.Errorf("start reading events: %w", err)
	}
	return reader, nil
}

func readerOptions(cfg Config, base *base, in *intake.Intake, files *rollout.Files) eventreader.Options {
	return eventreader.Options{
		Name: files.Name, Announcement: files.Announcement, Handler: in.Handle, Full: in.Full,
		Tenants:     func() int { return tenants(base.bots.Current()) },
		MaxInFlight: cfg.MaxInFlight, MemoryLimit: cfg.EventMemory, Logger: cfg.Log,
		SlowCall: slowCall,
		Hooks: eventreader.Hooks{
			Retried: func(tenant, kind string) {
				cfg.Metrics.Retried(knownTenant(base.bots.Current(), tenant), kind)
			},
			TakenOver:  cfg.Metrics.TakenOver,
			DeadLetter: cfg.Metrics.DeadLetter,
		},
	}
}

// readerFigures returns the metrics of an event reader.
func readerFigures(s eventreader.Stats, bots *bot.Set) telemetry.Reader {
	figures := telemetry.Reader{
		Backlog: s.Backlog, Held: s.Waiting, Conversations: s.Conversations, Retrying: s.Retrying,
		ParkedTenants: s.ParkedTenants, KeptBytes: s.KeptBytes, Slots: map[string]telemetry.Slots{},
	}
	for tenant, t := range s.Tenants {
		name := knownTenant(bots, tenant)
		sum := figures.Slots[name]
		figures.Slots[name] = telemetry.Slots{
			Running: sum.Running + t.Running, Waiting: sum.Waiting + t.Waiting, Limit: sum.Limit + t.Limit,
		}
	}
	return figures
}

// knownTenant keeps tenants without a bot out of the metrics: an engine may publish under any subject.
func knownTenant(bots *bot.Set, tenant string) string {
	for _, b := range bots.Bots() {
		if b.Tenant() == tenant {
			return tenant
		}
	}
	return "_"
}

// tenants returns the number of tenants that have bots.
func tenants(bots *bot.Set) int {
	names := map[string]bool{}
	for _, b := range bots.Bots() {
		names[b.Tenant()] = true
	}
	return len(names)
}

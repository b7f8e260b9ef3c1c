package app

import (
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// newReader returns the event reader of a starter.
func newReader(cfg Config, base *base, in *intake.Intake) *eventreader.Reader {
	return eventreader.NewReader(base.js, base.streams, eventreader.Options{
		Name: instance(), Handler: in.Handle, MaxInFlight: cfg.MaxInFlight, MemoryLimit: cfg.EventMemory, Logger: cfg.Log,
		Hooks: eventreader.Hooks{
			Retried: func(tenant, kind string) {
				cfg.Metrics.Retried(knownTenant(base.bots.Current(), tenant), kind)
			},
			TakenOver:  cfg.Metrics.TakenOver,
			DeadLetter: cfg.Metrics.DeadLetter,
		},
	})
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

package app

import (
	"context"

	"github.com/hookturn/hookturn/internal/bus"
)

// Setup creates the missing streams, buckets and search attributes. It is idempotent.
func Setup(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validateStreams(); err != nil {
		return err
	}
	nc, js, err := bus.Connect(ctx, cfg.NATSURL, cfg.NATSCreds, "hookturn-setup", cfg.Log,
		bus.WithInboxPrefix(cfg.NATSInboxPrefix))
	if err != nil {
		return err
	}
	defer nc.Close()
	_, err = bus.Setup(ctx, js, bus.StreamOptions{
		Partitions: cfg.Partitions, MaxBytes: cfg.EventsMaxBytes, Replicas: cfg.Replicas,
	})
	if err != nil {
		return err
	}
	for _, tenant := range cfg.Engines {
		if err := bus.EnsureEngine(ctx, js, tenant); err != nil {
			return err
		}
	}
	c, err := dialTemporal(ctx, cfg.Temporal, cfg.Log, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	return ensureSearchAttributes(ctx, c, cfg.Temporal.Namespace, cfg.Log)
}

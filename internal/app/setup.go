package app

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
)

// Setup creates the missing streams, buckets and search attributes, and applies sizes, replicas and partitions that are set
// to those that exist. It is idempotent.
func Setup(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validateStreams(); err != nil {
		return err
	}
	connecting, connected := cfg.connecting(ctx)
	nc, js, err := cfg.Login().Connect(connecting, "hookturn-setup", cfg.Log)
	connected()
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err = bus.Setup(ctx, js, cfg.streamOptions()); err != nil {
		return err
	}
	if err := bus.Resize(ctx, js, cfg.streamOptions(), func(stream, what string) {
		cfg.Log.Info("stream changed", "stream", stream, "change", what)
	}); err != nil {
		return err
	}
	if err := repartition(ctx, js, cfg); err != nil {
		return err
	}
	for _, tenant := range cfg.Engines {
		if err := bus.EnsureEngine(ctx, js, tenant); err != nil {
			return err
		}
	}
	connecting, connected = cfg.connecting(ctx)
	defer connected()
	c, err := dialTemporal(connecting, cfg.Temporal, cfg.Log, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	return ensureSearchAttributes(ctx, c, cfg.Temporal.Namespace, cfg.Log)
}

// drainTimeout is how long Setup waits until the stream of events is empty, so that its partitions can change.
const drainTimeout = time.Minute

// repartition changes the partitions of the stream of events to the number that is set.
func repartition(ctx context.Context, js bus.JetStream, cfg Config) error {
	if cfg.Partitions == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	changed, err := bus.Repartition(ctx, js, cfg.Partitions)
	if changed {
		cfg.Log.Info("partitions changed, restart the starters", "partitions", cfg.Partitions)
	}
	return err
}

// connecting returns a context that ends when connecting has taken too long.
func (c Config) connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.ConnectTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.ConnectTimeout)
}

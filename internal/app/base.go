package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// base is what worker and starter have in common: bot files, NATS with its streams, Temporal.
type base struct {
	bots      *bot.Store
	channels  *channel.Registry
	js        bus.JetStream
	streams   bus.Streams
	temporal  client.Client
	namespace string
	traces    *telemetry.Traces // nil: none are exported
}

// startBase starts the common parts. It loads the bot files first, because the operator has to fix an invalid one, and
// waiting for a server would delay the error.
func startBase(
	ctx context.Context, cfg Config, m *telemetry.Metrics, p *parts, name string, fail func(error),
) (*base, error) {
	b := &base{namespace: cfg.Temporal.Namespace}
	opts, err := BotOptions(cfg)
	if err != nil {
		return nil, err
	}
	opts.OnLoad = func(s bot.Status) { m.BotFiles(len(s.BadFiles), s.LastGood, s.Err) }
	if b.bots, err = bot.NewStore(cfg.Bots, opts, cfg.Log); err != nil {
		return nil, fmt.Errorf("bot files in %s:\n%w", cfg.Bots, err)
	}
	p.add("bot files", watchBots(b.bots, cfg.Log))
	if b.traces, err = startTraces(ctx, cfg, p, name); err != nil {
		return nil, err
	}
	watch := &natsWatch{fail: fail}
	nc, js, err := bus.Connect(ctx, cfg.Login(), name, cfg.Log, natsclient.OnClosed(watch.closed))
	if err != nil {
		return nil, err
	}
	p.add("NATS", watch.close(nc))
	b.js = js
	b.streams, err = bus.Setup(ctx, js, cfg.streamOptions())
	if err != nil {
		return nil, err
	}
	observeStreams(js, m, p)
	p.add("streams", background(func(ctx context.Context) { bus.Upkeep(ctx, js) }))
	b.channels = channel.NewRegistry(b.bots, opts, cfg.Log)
	err = follow(ctx, p, cfg.Log, "channels", func(ctx context.Context, ready func()) error {
		return b.channels.Follow(ctx, store.NewChannels(b.streams), ready)
	})
	if err != nil {
		return nil, err
	}
	if b.temporal, err = dialTemporal(ctx, cfg.Temporal, cfg.Log, m); err != nil {
		return nil, err
	}
	p.add("Temporal", func(context.Context) error { b.temporal.Close(); return nil })
	return b, nil
}

// observeStreams exports how full the streams are, and counts the writes that JetStream did not store.
func observeStreams(js bus.JetStream, m *telemetry.Metrics, p *parts) {
	m.NATSWriteReasons(bus.WriteFailureReasons())
	bus.ObserveWrites(js, m.NATSWriteFailed)
	stop := m.WatchStreams(func() (all []telemetry.Stream) {
		for _, s := range bus.StreamsUse(js) {
			all = append(all, telemetry.Stream{Name: s.Stream, Used: s.Used, Oldest: s.Oldest})
		}
		return all
	})
	p.add("metrics of streams", func(context.Context) error { stop(); return nil })
}

// tracesTimeout bounds exporting the last spans at a stop.
const tracesTimeout = 3 * time.Second

// startTraces starts the export of traces, where a collector is configured.
func startTraces(ctx context.Context, cfg Config, p *parts, name string) (*telemetry.Traces, error) {
	traces, err := telemetry.StartTraces(ctx, telemetry.TraceOptions{
		Service: name, Version: Version, Lookup: os.Getenv, Log: cfg.Log,
	})
	if err != nil || traces == nil {
		return nil, err
	}
	p.add("traces", within(tracesTimeout, traces.Stop))
	return traces, nil
}

// background runs a function until the part is stopped.
func background(run func(context.Context)) (stop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	return func(context.Context) error {
		cancel()
		<-done
		return nil
	}
}

// watchBots follows changes of the bot files until the part is stopped.
func watchBots(bots *bot.Store, log *slog.Logger) (stop func(context.Context) error) {
	return background(func(ctx context.Context) {
		if err := bots.Watch(ctx); err != nil {
			log.ErrorContext(ctx, "watching bot files failed", "error", err, "hint", "restart the process to load changed bot files")
		}
	})
}

// follow runs what follows a bucket until the part is stopped, and returns when it has read what is stored: it calls ready
// then.
func follow(
	ctx context.Context, p *parts, log *slog.Logger, name string, run func(ctx context.Context, ready func()) error,
) error {
	ready, failed := make(chan struct{}), make(chan error, 1)
	p.add(name, background(func(running context.Context) {
		if err := run(running, sync.OnceFunc(func() { close(ready) })); err != nil {
			log.ErrorContext(ctx, "following a bucket failed", "part", name, "error", err,
				"hint", "restart the process when NATS is available")
			failed <- err
		}
	}))
	select {
	case <-ready:
		return nil
	case err := <-failed:
		return fmt.Errorf("read %s: %w", name, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ready sends a request to JetStream and Temporal: an open TCP connection is not sufficient.
func (b *base) ready(ctx context.Context) error {
	if err := bus.Ready(ctx, b.js); err != nil {
		return fmt.Errorf("check JetStream: %w", err)
	}
	if _, err := b.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check Temporal: %w", err)
	}
	return nil
}

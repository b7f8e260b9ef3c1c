package app

import (
	"context"
	"errors"
	"os"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/console"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Starter is a running starter: it sends events from NATS to Temporal and serves the gateway.
type Starter struct {
	parts   parts
	running together // the event reader and the gateway
	admin   *adminapi.Server
	gateway *gateway.Server
	console *console.Console
	fatal   fatal
}

// StartStarter connects and starts reading events. It waits for NATS and Temporal until ctx ends; invalid bot files and
// streams that would lose data are an error immediately.
func StartStarter(ctx context.Context, cfg Config) (*Starter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.WithPayloadKeys()
	if err != nil {
		return nil, err
	}
	s := &Starter{parts: parts{log: cfg.Log}, fatal: newFatal()}
	if err := s.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.parts.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Starter) start(ctx context.Context, cfg Config) error {
	metrics := cfg.Metrics
	ready := &s.fatal.readiness
	var err error
	if s.admin, err = startAdmin(cfg, ready, &s.parts); err != nil {
		return err
	}
	base, err := startBase(ctx, cfg, metrics, &s.parts, "hookturn-starter", s.fatal.fail)
	if err != nil {
		return err
	}
	ready.Explain(base.botFiles)
	s.parts.add("engine consumers", background(newEngines(base, cfg.Log).run))
	if err := ensureSearchAttributes(ctx, base.temporal, base.namespace, cfg.Log); err != nil {
		return err
	}
	paused, err := s.watchPauses(ctx, cfg, base)
	if err != nil {
		return err
	}
	files := &rollout.Files{Bots: base.bots, Streams: base.streams, Name: instance()}
	in, ended := newIntake(cfg, base, paused, files)
	reader, err := startReader(ctx, cfg, base, in, files)
	if err != nil {
		return err
	}
	s.parts.add("recovery", background(ended.Run))
	sweep := &retention{
		bots: base.bots.Current, reads: reader.Partitions, kept: store.NewRetention(base.streams), metrics: metrics, log: cfg.Log,
	}
	s.parts.add("retention", background(sweep.run))
	stopMetrics := metrics.WatchReader(func() telemetry.Reader { return readerFigures(reader.Stats(), base.bots.Current()) })
	s.parts.add("event reader and gateway", within(cfg.StopTimeout, s.running.stop))
	s.running.add(func(ctx context.Context) error {
		defer stopMetrics()
		return reader.Stop(ctx)
	})
	if err := s.startGateway(ctx, cfg, base, files); err != nil {
		return err
	}
	if err := s.enableAdmin(cfg, base); err != nil {
		return err
	}
	if err := s.startConsole(ctx, cfg, base); err != nil {
		return err
	}
	ready.Begin(base.ready)
	return nil
}

// watchPauses returns the bots that are paused, now and later.
func (s *Starter) watchPauses(ctx context.Context, cfg Config, b *base) (*pausedBots, error) {
	paused := &pausedBots{log: cfg.Log, bots: map[schemas.BotID]pausedBot{}}
	if err := followPauses(ctx, b, cfg.Log, &s.parts, paused.decided); err != nil {
		return nil, err
	}
	hidePaused, err := cfg.Metrics.WatchPausedBots(paused.now)
	if err != nil {
		return nil, err
	}
	s.parts.add("metrics of pauses", func(context.Context) error { hidePaused(); return nil })
	return paused, nil
}

func (s *Starter) startGateway(ctx context.Context, cfg Config, b *base, files *rollout.Files) error {
	if cfg.Gateway.Addr == "" {
		return nil
	}
	options, err := gatewayOptions(ctx, cfg, b)
	if err != nil {
		return err
	}
	options.Rollout = files
	if s.gateway, err = gateway.Start(cfg.Gateway.Addr, options); err != nil {
		return err
	}
	s.running.add(s.gateway.Stop)
	return nil
}

// enableAdmin lets the admin listener serve the admin API, where operators are configured.
func (s *Starter) enableAdmin(cfg Config, b *base) error {
	api, err := adminAPI(cfg, b, &s.parts)
	if err == nil && api != nil {
		s.admin.Enable(api)
	}
	return err
}

// AdminAddr returns the address of the admin listener, "" when there is none.
func (s *Starter) AdminAddr() string { return s.admin.Addr() }

// GatewayAddr returns the address of the gateway, "" when there is none.
func (s *Starter) GatewayAddr() string {
	if s.gateway == nil {
		return ""
	}
	return s.gateway.Addr()
}

// Fatal returns the channel of the first error after which the starter cannot continue.
func (s *Starter) Fatal() <-chan error { return s.fatal.first }

// Stop marks the starter as not ready, stops reading and accepting requests, waits up to the stop timeout until the events
// in hand reach their workflows and the requests are answered, and closes every connection.
func (s *Starter) Stop(ctx context.Context) error {
	s.fatal.readiness.Stop()
	return s.parts.stop(ctx)
}

// instance names this starter among the others that share the partitions.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "starter"
	}
	return host + "-" + uuid.NewString()[:8]
}

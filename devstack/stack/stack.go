// Package stack is all of hookturn and all that it needs in one process: Temporal with its UI, NATS with JetStream, a
// sample webhook server, a worker and a starter. State lives in one directory and survives a restart.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/metrics"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Options say what runs where. Addresses are host:port on loopback; port 0 is any free one.
type Options struct {
	Bots string // directory of the bot files
	// SecretsDir has a directory of secrets for each tenant; "" = "secrets" beside Bots, when it is there. Bot files may also
	// name any other variable or file.
	SecretsDir string
	DataDir    string // where state lives; "" keeps it in memory or in temporary files

	NATSAddr, TemporalAddr, UIAddr, AdminAddr string
	// Gateway configures the starter's gateway. Without an address there is no gateway.
	Gateway app.Gateway
	// Endpoint is a webhook server that is running already, see StartSamples; it stops with the stack. nil: none.
	Endpoint *endpoint.Endpoint
	// Engine starts a worker and a starter in this process; false leaves that to separate programs.
	Engine bool
	// Code runs code steps too, where this machine can; see Stack.NoCode.
	Code bool
	// TemporalPostgres and HistoryShards are where Temporal keeps its state instead, see servers.TemporalOptions.
	TemporalPostgres string
	HistoryShards    int
	// PayloadKeys is the directory of the keys that encrypt what goes to Temporal; "" = in clear.
	PayloadKeys string
	// DynamicConfig overrides settings of the Temporal server.
	DynamicConfig map[string]any
	// TemporalMetrics receives what the Temporal server counts; nil discards it.
	TemporalMetrics metrics.Handler
	// UI starts the Temporal UI.
	UI  bool
	Log *slog.Logger
}

// Stack is a running stack.
type Stack struct {
	NATS     *servers.NATS
	Temporal *servers.Temporal
	UI       *servers.UI
	Endpoint *endpoint.Endpoint
	Worker   *app.Worker
	Starter  *app.Starter
	// NoCode is why code steps do not run although they were asked for; nil when they do.
	NoCode error

	stops []func()
}

// SampleSecret is what examples/bots signs with and the sample webhook server checks.
const SampleSecret = "whsec_aG9va3R1cm4gZXhhbXBsZSBzZWNyZXQsIGZvciB0cmlhbHM="

// StartSamples starts the sample webhook server at addr. It comes before the stack, because bot files name its address.
func StartSamples(addr string) (*endpoint.Endpoint, error) {
	e := endpoint.New(endpoint.Options{Addr: addr, Secret: SampleSecret})
	if _, err := e.Start(); err != nil {
		return nil, fmt.Errorf("sample webhook server: %w", err)
	}
	return e, nil
}

// Start starts everything, or nothing.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Stack{Endpoint: o.Endpoint}
	if s.Endpoint != nil {
		s.stops = append(s.stops, s.Endpoint.Stop)
	}
	if err := s.start(ctx, o); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) (err error) {
	if s.NATS, err = servers.StartNATS(ctx, servers.NATSOptions{
		DataDir: below(o.DataDir, "nats"), Addr: o.NATSAddr, Logger: o.Log,
	}); err != nil {
		return err
	}
	s.stops = append(s.stops, s.NATS.Stop)
	if s.Temporal, err = servers.StartTemporal(ctx, servers.TemporalOptions{
		DataDir: below(o.DataDir, "temporal"), FrontendAddr: o.TemporalAddr, DynamicConfig: o.DynamicConfig, Logger: o.Log,
		Postgres: o.TemporalPostgres, HistoryShards: o.HistoryShards, Metrics: o.TemporalMetrics,
	}); err != nil {
		return err
	}
	s.stops = append(s.stops, s.Temporal.Stop)
	if o.UI {
		if s.UI, err = servers.StartUI(ctx, o.UIAddr, s.Temporal.Addr()); err != nil {
			return err
		}
		s.stops = append(s.stops, s.UI.Stop)
	}
	if o.Engine {
		return s.startEngine(ctx, o)
	}
	return nil
}

// Config is how a worker or a starter reaches this stack.
func (s *Stack) Config(o Options) app.Config {
	return app.Config{
		NATSURL: s.NATS.URL(), Bots: o.Bots, SecretsDir: secretsOf(o), FreeSecrets: true, EgressDevelopment: true,
		StopTimeout: 10 * time.Second, Log: o.Log, PayloadKeys: o.PayloadKeys,
		Deployment: deployment.Options{Name: deployment.DefaultName, BuildID: app.Version},
		Temporal:   client.Options{HostPort: s.Temporal.Addr(), Namespace: s.Temporal.Namespace()},
	}
}

// as connects a process as one of the users of internal/permissions.
func (s *Stack) as(cfg *app.Config, user string) {
	of, _ := permissions.UserOf(user)
	cfg.NATSURL, cfg.NATSInboxPrefix, cfg.NATSDomain = s.NATS.UserURL(user), permissions.InboxPrefix(user), of.Domain()
}

func secretsOf(o Options) string {
	if o.SecretsDir != "" {
		return o.SecretsDir
	}
	beside := filepath.Join(filepath.Dir(o.Bots), "secrets")
	if info, err := os.Stat(beside); err != nil || !info.IsDir() {
		return ""
	}
	return beside
}

func (s *Stack) startEngine(ctx context.Context, o Options) (err error) {
	cfg := s.Config(o)
	s.as(&cfg, permissions.Setup)
	cfg.Engines = []string{"default"}
	if err = app.Setup(ctx, cfg, schemas.AuditActor{Name: "devstack", Via: "cli"}); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	cfg.Metrics = telemetry.NewMetrics() // one admin listener shows both
	cfg.AdminAddr, cfg.Gateway = o.AdminAddr, o.Gateway
	s.as(&cfg, permissions.Starter)
	if s.Starter, err = app.StartStarter(ctx, cfg); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	s.stops = append(s.stops, stopper(o.Log, "starter", s.Starter.Stop))
	cfg.AdminAddr, cfg.Gateway = "", app.Gateway{}
	s.as(&cfg, permissions.Worker)
	if addr := s.Starter.GatewayAddr(); addr != "" { // known now, whatever its port
		cfg.GatewayURL = "http://" + addr
	}
	if o.Code {
		cfg.TaskQueues = []string{step.QueueMain, step.QueueCode}
	}
	s.Worker, err = app.StartWorker(ctx, cfg)
	if errors.Is(err, sandbox.ErrUnavailable) {
		s.NoCode, cfg.TaskQueues = err, nil
		s.Worker, err = app.StartWorker(ctx, cfg)
	}
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	s.stops = append(s.stops, stopper(o.Log, "worker", s.Worker.Stop))
	return nil
}

// stopTimeout bounds the stop of one part, so that a stuck one does not keep the process alive.
const stopTimeout = 15 * time.Second

func stopper(log *slog.Logger, name string, stop func(context.Context) error) func() {
	return func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout, errors.New("stop of the "+name+" timed out"))
		defer cancel()
		if err := stop(ctx); err != nil {
			log.Warn("stopping part of the stack failed", "part", name, "error", err)
		}
	}
}

// Stop stops everything in the opposite order of its start.
func (s *Stack) Stop() {
	for _, v := range slices.Backward(s.stops) {
		v()
	}
	s.stops = nil
}

// Ready returns the line for scripts that reports that the stack is ready, with its addresses.
func (s *Stack) Ready() string {
	ui, gateway, admin := "", "", ""
	if s.UI != nil {
		ui = s.UI.Addr()
	}
	if s.Starter != nil {
		gateway, admin = s.Starter.GatewayAddr(), s.Starter.AdminAddr()
	}
	return fmt.Sprintf("ready nats=%s temporal=%s ui=%s gateway=%s admin=%s",
		s.NATS.Addr(), s.Temporal.Addr(), ui, gateway, admin)
}

func below(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

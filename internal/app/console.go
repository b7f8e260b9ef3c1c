package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/console"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/internal/transient"
	"github.com/hookturn/hookturn/schemas"
)

// Console configures the operators' console of a starter. It has the certificate and the trusted proxies of the gateway, and
// the operators of its token file.
type Console struct {
	Addr    string // host:port; "" = there is none
	Actions bool   // false: it only reads
	// NATSContext is the name or the absolute path of a context of the NATS CLI: the login of a viewer or an operator; "" =
	// that of the starter, on a connection of the console's own.
	NATSContext string
	UI          string // URL of the Temporal UI, for links; "" = no links
}

// validate returns all problems.
func (c Console) validate(tokens string) error {
	var problems []error
	if c.Addr == "" && c.Actions {
		problems = append(problems, errors.New("console actions are allowed without a console: set --console-addr, "+
			"for example 127.0.0.1:9092, or remove --console-actions"))
	}
	if c.Addr != "" && tokens == "" {
		problems = append(problems, errors.New("the console needs the operators' tokens: set --operator-token-file or "+
			"HOOKTURN_OPERATOR_TOKEN_FILE"))
	}
	u, err := url.Parse(c.UI)
	if c.UI != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "") {
		problems = append(problems, errors.New("the URL of the Temporal UI is not an absolute http or https URL without a "+
			"query: check --console-ui-url or HOOKTURN_CONSOLE_UI_URL"))
	}
	return errors.Join(problems...)
}

// consoleRetry is how long the console waits for a server that does not answer or is too busy to.
const consoleRetry = 5 * time.Second

func (s *Starter) startConsole(ctx context.Context, cfg Config, b *base) error {
	if cfg.Console.Addr == "" {
		return nil
	}
	login := cfg.Login()
	if cfg.Console.NATSContext != "" {
		login = natsclient.Login{Context: cfg.Console.NATSContext}
	}
	if err := login.Check(); err != nil {
		return fmt.Errorf("console: --console-nats-context: %w", err)
	}
	o, err := s.consoleOptions(cfg, b)
	if err != nil {
		return err
	}
	pages := console.New(o)
	s.parts.add("NATS of the console", background(func(ctx context.Context) { connectConsole(ctx, cfg, login, pages) }))
	if err := pages.Start(cfg.Console.Addr); err != nil {
		return err
	}
	s.console = pages
	s.parts.add("console", within(cfg.StopTimeout, pages.Stop))
	cfg.Log.InfoContext(ctx, "console started", "address", pages.Addr(), "actions", cfg.Console.Actions, "tls", o.TLS != nil)
	return nil
}

func (s *Starter) consoleOptions(cfg Config, b *base) (o console.Options, err error) {
	o = console.Options{
		Bots: b.bots, Temporal: b.temporal, Namespace: b.namespace, Converter: cfg.payloads(), UI: cfg.Console.UI,
		Gateway: cfg.GatewayURL, Actions: cfg.Console.Actions, Log: cfg.Log,
		Retry: func(ctx context.Context, request func(context.Context) error) error {
			return transient.Retry(ctx, consoleRetry, request)
		},
	}
	if o.Operators, err = adminapi.ReadOperators(cfg.Gateway.OperatorToken, cfg.Log); err != nil {
		return o, err
	}
	if o.Proxies, err = cfg.Gateway.proxies(); err != nil {
		return o, err
	}
	if cfg.Gateway.Certificate != "" {
		if o.TLS, err = gateway.ReadCertificate(cfg.Gateway.Certificate, cfg.Gateway.Key, cfg.Log); err != nil {
			return o, err
		}
	}
	if cfg.PayloadKeys != "" {
		// The starter's user may record what is decrypted, that of the console may not.
		o.Reads = audit.NewReads(bus.NewAudit(b.js), schemas.AuditPayloadsDecrypt, cfg.Log)
		s.parts.add("audit of the console's reads", o.Reads.Close)
	}
	return o, nil
}

// connectConsole keeps the console's connection to NATS until ctx ends. It is one of its own: what its user may not do does
// not make the starter unready, and a login that does not work does not keep the starter from its events.
func connectConsole(ctx context.Context, cfg Config, login natsclient.Login, pages *console.Console) {
	nc, js, err := bus.Connect(ctx, login, "hookturn-console", cfg.Log)
	if err != nil {
		if ctx.Err() == nil {
			cfg.Log.ErrorContext(ctx, "connecting the console to NATS failed", "error", err,
				"hint", "check --console-nats-context, then restart the starter")
		}
		return
	}
	defer nc.Close()
	wait := retry.Backoff(time.Second, time.Minute)
	for {
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		if err == nil {
			pages.Connect(js, streams)
			<-ctx.Done()
			return
		}
		retryIn := wait.NextBackOff()
		cfg.Log.WarnContext(ctx, "looking for the streams of the console failed, will retry", "error", err,
			"retry_in", retryIn, "hint", "check the NATS user of --console-nats-context: viewer or operator")
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryIn):
		}
	}
}

// ConsoleAddr returns the address of the console, "" when there is none.
func (s *Starter) ConsoleAddr() string { return s.console.Addr() }

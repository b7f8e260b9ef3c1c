package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// settings are the options of a process. Without its flag, an option has the value of its environment variable
// (HOOKTURN_ and the name in capitals), then its default.
type settings struct {
	frame

	cfg                 app.Config
	wait                time.Duration // of an erase, for Temporal
	unaudited           bool          // a change may happen without its audit event, while NATS is away
	logLevel, logFormat string
	level               *telemetry.Level // of cfg.Log
}

func (s *settings) connection(f *pflag.FlagSet) {
	s.nats(f)
	s.logging(f)
}

func (s *settings) nats(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.NATSURL, "nats-url", "",
		"address of NATS, with user and password if any (default: the context's, else nats://127.0.0.1:4222)")
	f.StringVar(&s.cfg.NATSContext, "nats-context", "", "context of the NATS CLI, by name or absolute path (NATS_CONTEXT)")
	f.StringVar(&s.cfg.NATSCreds, "nats-creds", "", "NATS credentials file (JWT and seed)")
	f.StringVar(&s.cfg.NATSNKey, "nats-nkey", "", "file with the seed of a NATS user")
	f.StringVar(&s.cfg.NATSCA, "nats-ca", "", "PEM file of the authorities of the NATS server's certificate")
	f.StringVar(&s.cfg.NATSCert, "nats-cert", "", "PEM file of the client certificate for NATS")
	f.StringVar(&s.cfg.NATSKey, "nats-key", "", "PEM file of the key of --nats-cert")
	f.StringVar(&s.cfg.NATSDomain, "nats-domain", "", "JetStream domain that has the streams")
	f.StringVar(&s.cfg.NATSInboxPrefix, "nats-inbox-prefix", "", "inbox prefix on NATS (default _INBOX)")
}

// payloads are the options of what reads or writes payloads of Temporal.
func (s *settings) payloads(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.PayloadKeys, "payload-keys", "",
		"directory of the keys that encrypt what goes to Temporal; empty: in clear")
}

func (s *settings) logging(f *pflag.FlagSet) {
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error; SIGUSR1 and SIGUSR2 change it")
	f.StringVar(&s.logFormat, "log-format", telemetry.FormatAuto, "auto (text on a terminal, else json), text or json")
}

func (s *settings) streams(f *pflag.FlagSet) {
	f.IntVar(&s.cfg.Partitions, "partitions", 0, "partitions of the event stream (default 8 when it is created)")
	f.IntVar(&s.cfg.Replicas, "replicas", 0, "replicas of streams and buckets (default 1 when they are created)")
	for _, size := range bus.Sizes() {
		f.Var(&sizeValue{&s.cfg.Sizes, size.Name}, size.Flag(), fmt.Sprintf("size of %s: %s (default %s when created)",
			size.Stream, size.Content, sizeText(size.Default)))
	}
}

func (s *settings) process(f *pflag.FlagSet) {
	s.connection(f)
	s.payloads(f)
	s.streams(f)
	f.StringVar(&s.cfg.Bots, "bots", "", "directory of the bot files")
	f.StringVar(&s.cfg.BadBots, "bad-bots", app.BadBotsHold,
		"hold: an invalid bot file disables its own bot; refuse: the process does not start with one")
	s.secrets(f)
	s.egress(f)
	s.licences(f)
	f.StringVar(&s.cfg.AdminAddr, "admin-addr", "",
		"listen address (host:port) of /healthz, /readyz, /metrics and the admin API; empty: no listener")
	f.StringVar(&s.cfg.GatewayURL, "gateway-url", "", "public URL of the gateway, for callbacks and links to files")
	f.DurationVar(&s.cfg.StopTimeout, "stop-timeout", 30*time.Second, "how long running work may continue after a stop")
}

func (s *settings) gateway(f *pflag.FlagSet) {
	g := &s.cfg.Gateway
	f.StringVar(&g.Addr, "gateway-addr", "", "listen address (host:port) of the gateway; empty: no gateway")
	f.StringVar(&g.Certificate, "gateway-cert", "", "PEM file of the gateway's certificate; empty: plain HTTP")
	f.StringVar(&g.Key, "gateway-key", "", "PEM file of the certificate's key")
	f.StringSliceVar(&g.Proxies, "gateway-proxies", nil, "CIDRs of the proxies whose X-Forwarded-For is trusted")
	f.StringSliceVar(&g.Origins, "gateway-origins", nil, "web origins from which browsers may open a WebSocket; * = all")
	f.IntVar(&g.TenantRequests, "gateway-tenant-requests", gateway.TenantRequestsDefault,
		"how many requests of one tenant the gateway serves at a time; negative: without a bound")
	f.StringVar(&g.OperatorToken, "operator-token-file", "",
		"file with the operators' names, roles and tokens, or with one token; empty: no admin API")
	f.StringSliceVar(&g.CodecOrigins, "codec-origin", nil,
		"web origin of the Temporal UI, whose pages may use the codec server at /codec of the admin listener")
	f.StringVar(&g.EventTokens, "event-tokens", "",
		"file with a tenant and its token for POST /events and GET /replies on each line; empty: both are disabled")
}

func (s *settings) console(f *pflag.FlagSet) {
	c := &s.cfg.Console
	f.StringVar(&c.Addr, "console-addr", "",
		"listen address (host:port) of the operators' console, which needs --operator-token-file; empty: no console")
	f.BoolVar(&c.Actions, "console-actions", false,
		"allow operators to pause, resume, replay, repeat and cancel in the console; otherwise it only reads")
	f.StringVar(&c.NATSContext, "console-nats-context", "",
		"context of the NATS CLI with the login of the console, by name or absolute path; empty: the starter's login")
	f.StringVar(&c.UI, "console-ui-url", "", "URL of the Temporal UI, for links of the console; empty: no links")
}

func (s *settings) deployment(f *pflag.FlagSet) {
	d := &s.cfg.Deployment
	f.StringVar(&d.Name, "deployment-name", deployment.DefaultName, "Worker Deployment of this worker; empty: unversioned")
	f.StringVar(&d.BuildID, "build-id", "", "build id of this worker in its deployment (default: the version of the program)")
	f.StringVar((*string)(&d.Promote), "deployment-promote", string(deployment.PromoteAuto),
		"auto: a newer worker becomes the current version by itself; manual: run \"starter deployments promote\"")
}

func (s *settings) secrets(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.SecretsDir, "secrets-dir", "", "directory with a directory of secrets for each tenant")
	f.BoolVar(&s.cfg.FreeSecrets, "free-secrets", false,
		"allow bot files to name any variable and file except settings and other tenants' secrets; for development only")
}

func (s *settings) licences(f *pflag.FlagSet) {
	f.StringToIntVar(&s.cfg.Licences, "licences", nil,
		"maximum number of channels of a type, for example public=5,subscriber=2")
}

func (s *settings) egress(f *pflag.FlagSet) {
	f.StringSliceVar(&s.cfg.EgressAllow, "egress-allow", nil,
		"allowed webhook addresses outside the public internet: host-or-CIDR[:port], comma-separated")
}

// sandbox are the options of workers for code steps.
func (s *settings) sandbox(f *pflag.FlagSet) {
	f.StringVar(&s.cfg.SandboxUsers, "sandbox-users", "",
		"host user ids, FIRST-LAST; every script uses a separate one (default "+sandbox.DefaultUsers.String()+")")
	f.StringVar(&s.cfg.Packages, "packages", "", "directory of the wheels that bot files name under packages; empty: none")
	f.StringVar(&s.cfg.SandboxCgroup, "sandbox-cgroup", "",
		"delegated cgroup v2 directory in which every script has a group; off: none; v1: cgroup v1; "+
			"empty: the worker's own, if possible")
}

// environment sets options without a flag from the environment. The task of a tool, such as the event to send, comes
// from its flags only. Temporal's own package reads the TEMPORAL_ variables.
func (s *settings) environment(cmd *cobra.Command) error {
	var wrong *toolError
	lookup, known := ioOf(cmd).LookupEnv, app.EnvironmentVariables()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := variableOf(f)
		if f.Changed || !slices.Contains(known, name) || f.Annotations[flagOnly] != nil {
			return
		}
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil && wrong == nil {
			wrong = problem(kindUsage, "%s=%q: %w%s", name, value, err, exampleOf(name, f))
		}
	})
	if wrong != nil {
		return wrong
	}
	var err error
	if s.cfg.Log, s.level, err = telemetry.NewLeveledLogger(ioOf(cmd).Err, s.logLevel, s.logFormat); err != nil {
		return problem(kindUsage, "check --log-level and --log-format, or HOOKTURN_LOG_LEVEL and HOOKTURN_LOG_FORMAT: %w", err)
	}
	telemetry.LibrariesTo(s.cfg.Log)
	return nil
}

// flagOnly is the annotation of a flag that has the name of a setting and belongs to the task of a tool.
const flagOnly = "hookturn_flag_only"

// variableOf returns the environment variable of a flag.
func variableOf(f *pflag.Flag) string {
	if f.Name == "nats-context" {
		return "NATS_CONTEXT" // as the NATS CLI
	}
	return "HOOKTURN_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// exampleOf returns a valid value of a flag as an example: its default, where there is one.
func exampleOf(name string, f *pflag.Flag) string {
	if size, ok := f.Value.(*sizeValue); ok {
		return fmt.Sprintf(": expected %s, for example %s=1GiB", size.Type(), name)
	}
	if f.DefValue == "" || f.DefValue == "[]" {
		return ""
	}
	example := f.DefValue
	if example == "0" {
		example = "3" // the default of a number that is not set
	}
	return fmt.Sprintf(": expected %s, for example %s=%s", f.Value.Type(), name, example)
}

// withVariable adds the environment variable and an example to the error of a flag.
func withVariable(_ *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := invalid.GetFlag()
		return fmt.Errorf("%w (or %s)%s", err, variableOf(f), exampleOf("--"+f.Name, f))
	}
	return err
}

// errNoToken reports that a name is not a valid subject token, so that no message can have it.
var errNoToken error = problem(kindUsage, "invalid --tenant or --bot: expected [A-Za-z0-9_-]{1,64}")

// checkFilter checks the names of a filter; empty names match everything.
func checkFilter(chosen schemas.BotID) error {
	for _, name := range []string{chosen.Tenant, chosen.Bot} {
		if name != "" && !schemas.IsToken(name) {
			return errNoToken
		}
	}
	return nil
}

// everything sets what a process needs: flags, environment, and the connection to Temporal. Commands that do not need
// Temporal call only environment.
func (s *settings) everything(cmd *cobra.Command) error {
	if err := s.environment(cmd); err != nil {
		return err
	}
	var err error
	if s.cfg.Temporal, err = app.TemporalFromEnvironment(); err != nil {
		return problem(kindUsage, "connection to Temporal: %w", err)
	}
	if s.cfg, err = s.cfg.WithPayloadKeys(); err != nil {
		return problem(kindUsage, "%w", err)
	}
	return nil
}

// Package app assembles the processes of hookturn from the other packages, and defines the order in which their parts start
// and stop. A process is a library: commands, the development stack and end-to-end tests start the same one.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// Config is the configuration of both processes. The parts document their own durations and sizes.
type Config struct {
	// NATSURL is the address of NATS; default: that of NATSContext, else nats://127.0.0.1:4222.
	NATSURL     string
	NATSCreds   string // path of a NATS credentials file; "" = none
	NATSContext string // name or absolute path of a context of the NATS CLI; "" = none
	NATSNKey    string // path of a file with the seed of a NATS user; "" = none
	NATSCA      string // PEM file of the authorities of NATS servers; "" = those of the system
	NATSCert    string // PEM file of the client certificate for NATS; "" = none
	NATSKey     string // PEM file of its key
	NATSDomain  string // JetStream domain; "" = the context's, else the server's own
	Bots        string // directory of the bot files
	// SecretsDir is the directory with a directory of secrets for each tenant; "" = secrets are environment variables.
	SecretsDir string
	// FreeSecrets allows bot files to name any variable and file, except settings. For development stacks and tests only.
	FreeSecrets bool
	// BadBots is the effect of an invalid bot file at the start: BadBotsHold, the default, or BadBotsRefuse.
	BadBots string
	// NATSInboxPrefix is the inbox prefix of this process on NATS; "" = _INBOX. Users that share an account each have their
	// own prefix, which their permissions name.
	NATSInboxPrefix string

	// ConnectTimeout bounds how long Setup waits until NATS and Temporal answer; 0 = until its context ends.
	ConnectTimeout time.Duration

	// Temporal is the connection to Temporal, from the TEMPORAL_ variables and files; see TemporalFromEnvironment.
	Temporal client.Options
	// PayloadKeys is the directory of the keys that encrypt what goes to Temporal, one file for each; "" = in clear.
	PayloadKeys string

	// TaskQueues are the task queues that a worker polls; default hookturn.
	TaskQueues []string
	// Deployment is the Worker Deployment that a worker is a version of; the zero value is an unversioned worker.
	Deployment deployment.Options
	// EgressAllow lists webhook addresses outside the public internet, host-or-CIDR[:port].
	EgressAllow []string
	// EgressDevelopment allows loopback addresses and plain http. For development stacks and tests only.
	EgressDevelopment bool

	// SandboxUsers are the host user ids, FIRST-LAST, of which every script has one for itself; "" = sandbox.DefaultUsers.
	SandboxUsers string
	// SandboxCgroup is a delegated cgroup v2 directory in which every script has a group; "" = the worker's own where that is
	// possible, "off" = none, "v1" = the hierarchies of cgroup v1.
	SandboxCgroup string

	// Packages is the directory of the wheels that bot files name; "" = none, for processes that do not run scripts.
	Packages string

	AdminAddr string // host:port of /healthz, /readyz and /metrics; "" = none
	Gateway   Gateway
	Console   Console
	// Licences bound the number of integration channels of a type; a type that is not listed is not bounded.
	Licences map[string]int
	// GatewayURL is the public URL of the gateway, as in https://hooks.example; "" = endpoints receive no callback URL, and
	// links to files begin with their path.
	GatewayURL string

	// Partitions of the event stream, 1 to 256; default 8 when it is created. Setup changes those of a stream that exists when
	// they are set. More starters than partitions idle.
	Partitions int
	// Sizes are the sizes of streams and buckets in bytes, by the names of bus.Sizes. They apply when a stream is created,
	// and in Setup to those that exist. Default: those of bus.Sizes.
	Sizes map[string]int64
	// Replicas of the streams, 1 to 5, applied as Sizes; default 1 when they are created.
	Replicas int
	// Engines are the tenants for whose engines Setup creates consumers.
	Engines []string
	// Actor is who runs a tool that changes something, for its audit event; "" = the user of the operating system.
	Actor string
	// MaxInFlight bounds the events that a starter sends to Temporal at a time; default 512.
	MaxInFlight int
	// EventMemory bounds the event bodies that a starter keeps in memory, in bytes; default 128 MiB. The process uses about
	// three times as much, because it encodes a body for Temporal while it keeps it.
	EventMemory int64
	// StopTimeout is how long running work may continue after a stop was requested; default 30 s.
	StopTimeout time.Duration

	Log *slog.Logger
	// Metrics are shared by all hookturn processes in one operating system process, as in the development stack; nil: own.
	Metrics *telemetry.Metrics
}

// Gateway configures the gateway of a starter.
type Gateway struct {
	Addr string // host:port; "" = there is none
	// Certificate and Key are PEM files for TLS, read again when they change; "" = plain HTTP, behind a proxy that ends TLS.
	Certificate, Key string
	// Proxies are the CIDRs of the proxies whose X-Forwarded-For is trusted.
	Proxies []string
	// Origins are the web origins from which browsers may open a WebSocket, as in https://app.example; "*" = all.
	Origins []string
	// OperatorToken is a file with the token of the admin API on the admin listener; "" = disabled.
	OperatorToken string
	// CodecOrigins are the web origins, as in https://temporal.example, whose pages may use the codec server at /codec of the
	// admin listener: that of the Temporal UI.
	CodecOrigins []string
	// TenantRequests bounds the requests of one tenant that the gateway serves at a time; 0 = the default.
	TenantRequests int
	// EventTokens is a file with the tokens with which tenants publish events over HTTP; "" = disabled.
	EventTokens string
}

// The effect of an invalid bot file at the start of a process.
const (
	BadBotsHold   = "hold"   // its own bot is disabled
	BadBotsRefuse = "refuse" // the process does not start
)

// The largest sensible number of partitions, and the largest number of replicas that JetStream supports.
const (
	partitionsMax  = 256
	eventMemoryMin = 8 << 20
	replicasMax    = 5
)

// withDefaults returns the configuration with defaults for unset members.
func (c Config) withDefaults() Config {
	if c.NATSContext == "" {
		set(&c.NATSURL, "nats://127.0.0.1:4222")
	}
	set(&c.BadBots, BadBotsHold)
	set(&c.MaxInFlight, 512)
	set(&c.EventMemory, 128<<20)
	set(&c.StopTimeout, 30*time.Second)
	set(&c.Temporal.HostPort, client.DefaultHostPort)
	set(&c.Temporal.Namespace, client.DefaultNamespace)
	if len(c.TaskQueues) == 0 {
		c.TaskQueues = []string{step.QueueMain}
	}
	if c.Deployment.Name != "" {
		if c.Deployment.BuildID == "" {
			c.Deployment.BuildID = DefaultBuildID()
		}
		set(&c.Deployment.Promote, deployment.PromoteAuto)
	}
	if c.Metrics == nil {
		c.Metrics = telemetry.NewMetrics()
	}
	c.Metrics.Build(Version, Build.Revision, Build.Go)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func set[T comparable](member *T, value T) {
	var zero T
	if *member == zero {
		*member = value
	}
}

// validate returns all problems of the configuration of a process that runs steps.
func (c Config) validate() error {
	var problems []error
	if c.BadBots != BadBotsHold && c.BadBots != BadBotsRefuse {
		problems = append(problems, fmt.Errorf("bad bots is %q: want %s or %s", c.BadBots, BadBotsHold, BadBotsRefuse))
	}
	if c.Bots == "" {
		problems = append(problems, errors.New("missing directory of bot files: set --bots or HOOKTURN_BOTS"))
	}
	for _, q := range c.TaskQueues {
		if q != step.QueueMain && q != step.QueueCode {
			problems = append(problems, errors.New("unknown task queue "+q+": use "+step.QueueMain+" or "+step.QueueCode))
		}
	}
	if err := c.Deployment.Validate(); err != nil {
		problems = append(problems, err)
	}
	if c.MaxInFlight < 1 {
		problems = append(problems, fmt.Errorf("max in flight is %d: use at least 1", c.MaxInFlight))
	}
	if c.EventMemory < eventMemoryMin {
		problems = append(problems, fmt.Errorf("event memory is %d bytes: use at least %d, room for a few of the largest events",
			c.EventMemory, eventMemoryMin))
	}
	if c.StopTimeout < 0 {
		problems = append(problems, fmt.Errorf("stop timeout is %s: use a time above 0", c.StopTimeout))
	}
	if err := checkGatewayURL(c.GatewayURL); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(c.Gateway.validate(), c.Console.validate(c.Gateway.OperatorToken)); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(append(problems, c.validateStreams())...)
}

func checkGatewayURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("gateway URL is not an absolute http or https URL without a query: " +
			"check --gateway-url or HOOKTURN_GATEWAY_URL")
	}
	return nil
}

// validateStreams returns all problems of the configuration of a process that may create the streams.
func (c Config) validateStreams() error {
	var problems []error
	if c.Partitions < 0 || c.Partitions > partitionsMax {
		problems = append(problems, fmt.Errorf("partitions are %d: use 1 to %d", c.Partitions, partitionsMax))
	}
	for _, size := range bus.Sizes() {
		if set, ok := c.Sizes[size.Name]; ok && set < bus.SizeMin {
			problems = append(problems, fmt.Errorf("size of %s is %d bytes: use at least %d (--%s)", size.Name, set, bus.SizeMin,
				size.Flag()))
		}
	}
	if c.Replicas < 0 || c.Replicas > replicasMax {
		problems = append(problems, fmt.Errorf("replicas are %d: use 1 to %d", c.Replicas, replicasMax))
	}
	return errors.Join(problems...)
}

// streamOptions returns the options of streams that are created.
func (c Config) streamOptions() bus.StreamOptions {
	return bus.StreamOptions{Partitions: c.Partitions, Sizes: c.Sizes, Replicas: c.Replicas}
}

// Login returns how this process connects to NATS.
func (c Config) Login() natsclient.Login {
	return natsclient.Login{
		URL: c.NATSURL, Context: c.NATSContext, Creds: c.NATSCreds, NKey: c.NATSNKey, CA: c.NATSCA, Cert: c.NATSCert,
		Key: c.NATSKey, Domain: c.NATSDomain, InboxPrefix: c.NATSInboxPrefix,
	}
}

// TemporalFromEnvironment returns the connection to Temporal from the TEMPORAL_ variables and the configuration file of
// Temporal's own tools.
func TemporalFromEnvironment() (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("invalid options of Temporal: %w: check the TEMPORAL_ variables (TEMPORAL_PROFILE chooses a "+
			"profile of the file in TEMPORAL_CONFIG_FILE), for example TEMPORAL_ADDRESS=temporal.example:7233", err)
	}
	return options, nil
}

// EnvironmentVariables returns every variable that the programs read. Temporal's envconfig package reads those that
// begin with TEMPORAL_, and the OpenTelemetry libraries those that begin with OTEL_; the list contains the documented ones.
func EnvironmentVariables() []string {
	names := []string{
		"HOOKTURN_ACTOR", "HOOKTURN_ADMIN_ADDR", "HOOKTURN_BAD_BOTS",
		"HOOKTURN_BOTS", "HOOKTURN_BUILD_ID", "HOOKTURN_CODEC_ORIGIN", "HOOKTURN_CONSOLE_ACTIONS", "HOOKTURN_CONSOLE_ADDR",
		"HOOKTURN_CONSOLE_NATS_CONTEXT", "HOOKTURN_CONSOLE_UI_URL", "HOOKTURN_DEPLOYMENT_NAME", "HOOKTURN_DEPLOYMENT_PROMOTE",
		"HOOKTURN_EGRESS_ALLOW", "HOOKTURN_ENGINES", "HOOKTURN_EVENT_MEMORY",
		"HOOKTURN_EVENT_TOKENS", "HOOKTURN_FREE_SECRETS",
		"HOOKTURN_GATEWAY_ADDR", "HOOKTURN_GATEWAY_CERT", "HOOKTURN_GATEWAY_KEY", "HOOKTURN_GATEWAY_ORIGINS",
		"HOOKTURN_GATEWAY_PROXIES", "HOOKTURN_GATEWAY_TENANT_REQUESTS", "HOOKTURN_GATEWAY_URL", "HOOKTURN_LICENCES",
		"HOOKTURN_LOG_FORMAT", "HOOKTURN_LOG_LEVEL", "HOOKTURN_MAX_IN_FLIGHT", "HOOKTURN_NATS_CA", "HOOKTURN_NATS_CERT",
		"HOOKTURN_NATS_CREDS", "HOOKTURN_NATS_DOMAIN", "HOOKTURN_NATS_INBOX_PREFIX", "HOOKTURN_NATS_KEY",
		"HOOKTURN_NATS_NKEY", "HOOKTURN_NATS_URL",
		"HOOKTURN_OPERATOR_TOKEN_FILE", "HOOKTURN_PACKAGES", "HOOKTURN_PARTITIONS",
		"HOOKTURN_PAYLOAD_KEYS", "HOOKTURN_REPLICAS",
		"HOOKTURN_SANDBOX_CGROUP",
		"HOOKTURN_SANDBOX_USERS", "HOOKTURN_SECRETS_DIR", "HOOKTURN_STOP_TIMEOUT",
		"HOOKTURN_TASK_QUEUES",
		"NATS_CONTEXT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
		"TEMPORAL_ADDRESS", "TEMPORAL_API_KEY", "TEMPORAL_CONFIG_FILE", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE",
		"TEMPORAL_TLS", "TEMPORAL_TLS_CLIENT_CERT_PATH",
		"TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_NAME",
	}
	for _, size := range bus.Sizes() {
		names = append(names, "HOOKTURN_"+strings.ToUpper(strings.ReplaceAll(size.Flag(), "-", "_")))
	}
	slices.Sort(names)
	return names
}

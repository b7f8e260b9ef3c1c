package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/temporal"
)

const (
	// NamespaceDefault is the namespace when the options name none.
	NamespaceDefault = "default"
	// readyInterval is how often the readiness of a starting server is checked.
	readyInterval = 10 * time.Millisecond
	// readyTimeout bounds the wait when the caller's context does not.
	readyTimeout = time.Minute
)

// TemporalOptions are the options of the Temporal server. The zero value is a server in memory on a free port.
type TemporalOptions struct {
	// DataDir holds the database; it is created when missing. Empty keeps everything in memory.
	DataDir string
	// Postgres is the URL of a PostgreSQL server and a database on it, as in postgres://user:password@127.0.0.1:5432/temporal;
	// the database and another for visibility are created when missing. Empty: SQLite.
	Postgres string
	// HistoryShards is fixed for the life of a database. 0: 64 with Postgres; SQLite has 1.
	HistoryShards int
	// SyncAlways waits for a disk flush at every commit. Without it a power failure may lose the last commits; the end of the
	// process loses none. A database in memory loses everything in both cases.
	SyncAlways bool
	// FrontendAddr is the loopback address that clients dial. Empty or port 0: a free one.
	FrontendAddr string
	// Namespace is registered when missing. Default: NamespaceDefault.
	Namespace string
	// TLS, when set, is what the frontend requires of its clients; nil: plain connections.
	TLS *MutualTLS
	// DynamicConfig overrides the server's settings, the tuning of this package included; keys are Temporal's own
	// ("matching.enableFairness").
	DynamicConfig map[string]any
	// Metrics receives what the server counts; nil discards it.
	Metrics metrics.Handler
	// Logger receives the server's log; nil discards it.
	Logger *slog.Logger
	// LogLevel is the minimum level of the log. Nil means slog.LevelWarn, and slog.LevelError during start and stop.
	LogLevel slog.Leveler
}

// MutualTLS are PEM files of a server that requires client certificates.
type MutualTLS struct {
	CA        string // the authority of both ends
	Cert, Key string // of the server, and of its own workers as clients
	Name      string // in the certificate
}

// client returns the options of a client of such a server.
func (m *MutualTLS) client() (*tls.Config, error) {
	if m == nil {
		return nil, nil
	}
	authority, err := os.ReadFile(m.CA)
	if err != nil {
		return nil, err
	}
	own, err := tls.LoadX509KeyPair(m.Cert, m.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{own}, ServerName: m.Name, MinVersion: tls.VersionTLS12,
	}, nil
}

// Temporal is a running Temporal server.
type Temporal struct {
	server    temporal.Server
	gate      *gate
	logger    *slog.Logger
	addr      string
	namespace string
	stop      sync.Once
}

// StartTemporal starts a Temporal server and returns when its frontend answers and the namespace exists. The context
// bounds the start only.
func StartTemporal(ctx context.Context, opts TemporalOptions) (*Temporal, error) {
	if opts.Namespace == "" {
		opts.Namespace = NamespaceDefault
	}
	frontend, err := claimLoopback(opts.FrontendAddr)
	if err != nil {
		return nil, fmt.Errorf("start temporal: %w", err)
	}
	database, err := openDatabase(opts)
	if err != nil {
		return nil, fmt.Errorf("start temporal: %w", err)
	}
	gate := newGate(opts.LogLevel)
	logger := gate.logger(opts.Logger)
	server, err := launch(newLayout(frontend), database, logger, opts)
	if err != nil {
		return nil, fmt.Errorf("start temporal: %w", err)
	}
	t := &Temporal{server: server, gate: gate, logger: logger, addr: frontend.String(), namespace: opts.Namespace}
	if err := t.awaitNamespace(ctx, opts.TLS); err != nil {
		t.Stop()
		return nil, fmt.Errorf("start temporal: %w", err)
	}
	gate.settle(true)
	return t, nil
}

// launch builds and starts the server. A panic inside the server's set-up becomes an error.
func launch(
	l layout, db database, logger *slog.Logger, opts TemporalOptions,
) (server temporal.Server, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	counts := opts.Metrics
	if counts == nil {
		counts = metrics.NoopMetricsHandler
	}
	server, err = temporal.NewServer(
		temporal.WithConfig(serverConfig(l, db, opts.TLS)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(l.hosts()),
		temporal.WithLogger(temporalLogger{slog: logger}),
		temporal.WithDynamicConfigClient(dynamicConfig(opts.DynamicConfig)),
		temporal.WithCustomMetricsHandler(counts),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	if err := server.Start(); err != nil {
		_ = server.Stop()
		return nil, err
	}
	return server, nil
}

// awaitNamespace waits until the frontend knows the namespace.
func (t *Temporal) awaitNamespace(ctx context.Context, m *MutualTLS) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	identity, err := m.client()
	if err != nil {
		return fmt.Errorf("client for %s: %w", t.addr, err)
	}
	c, err := client.NewLazyClient(client.Options{
		HostPort: t.addr, Namespace: t.namespace, Logger: slog.New(slog.DiscardHandler),
		ConnectionOptions: client.ConnectionOptions{TLS: identity},
	})
	if err != nil {
		return fmt.Errorf("client for %s: %w", t.addr, err)
	}
	defer c.Close()
	request := &workflowservice.DescribeNamespaceRequest{Namespace: t.namespace}
	return await(ctx, fmt.Sprintf("namespace %q at %s", t.namespace, t.addr), func() error {
		_, err := c.WorkflowService().DescribeNamespace(ctx, request)
		return err
	})
}

// Addr returns the host:port of the frontend.
func (t *Temporal) Addr() string { return t.addr }

// Namespace returns the registered namespace.
func (t *Temporal) Namespace() string { return t.namespace }

// Stop ends the server; requests in flight have about a second to finish.
func (t *Temporal) Stop() {
	t.stop.Do(func() {
		t.gate.settle(false)
		if err := t.server.Stop(); err != nil {
			t.logger.Error("temporal server did not stop cleanly", "error", err)
		}
	})
}

// await calls a function until it succeeds or the context ends; the error then names what was awaited.
func await(ctx context.Context, what string, ask func() error) error {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %w)", what, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

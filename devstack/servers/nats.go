package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// headroom is the size by which a message may exceed the contract's limit: headers and reasons of dead letters.
	headroom = 64 << 10
	// natsReadyTimeout bounds the wait when the caller's context does not.
	natsReadyTimeout = 30 * time.Second
)

// NATSOptions are the options of the NATS server. The zero value is a server on a free port, with its streams in a directory
// that Stop deletes.
type NATSOptions struct {
	// DataDir holds the streams; it is created when missing. Empty means a temporary directory.
	DataDir string
	// Addr is the loopback address that clients dial. Empty or port 0: a free one.
	Addr string
	// MaxStore bounds the bytes of all streams; 0: the free space of the disk.
	MaxStore int64
	// SyncInterval is how often the server syncs and compacts its files; 0: every 2 minutes.
	SyncInterval time.Duration
	// Cluster is the cluster of the server; nil: a single server.
	Cluster *NATSCluster
	// Logger receives the server's log; nil discards it.
	Logger *slog.Logger
	// LogLevel is the minimum level of the log. Nil means slog.LevelWarn, and slog.LevelError during start and stop.
	LogLevel slog.Leveler
}

// NATSCluster configures a server as a member of a cluster, so that streams may have replicas.
type NATSCluster struct {
	Name   string   // of this server, different for each
	Addr   string   // host:port on loopback where the other servers dial
	Routes []string // the same of the other servers
}

// NATS is a running NATS server with JetStream. Everything it acknowledges is on disk.
type NATS struct {
	server  *server.Server
	gate    *gate
	addr    string
	tempDir string
	stop    sync.Once
}

// StartNATS starts a NATS server and returns when it accepts connections and JetStream serves. The context bounds the
// start only.
func StartNATS(ctx context.Context, opts NATSOptions) (*NATS, error) {
	n := &NATS{gate: newGate(opts.LogLevel)}
	if opts.DataDir == "" {
		dir, err := os.MkdirTemp("", "hookturn-nats-")
		if err != nil {
			return nil, fmt.Errorf("start nats: %w", err)
		}
		n.tempDir, opts.DataDir = dir, dir
	}
	if err := n.start(ctx, opts); err != nil {
		n.Stop()
		return nil, fmt.Errorf("start nats: %w", err)
	}
	return n, nil
}

func (n *NATS) start(ctx context.Context, opts NATSOptions) error {
	addr, err := parseLoopback(opts.Addr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	options, err := natsOptions(addr, opts)
	if err != nil {
		return err
	}
	if err := opts.Cluster.apply(options); err != nil {
		return err
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	logger := newNATSLogger(n.gate.logger(opts.Logger))
	srv.SetLoggerV2(logger, false, false, false)
	n.server = srv
	go srv.Start()
	return n.awaitReady(ctx, logger.fatal)
}

// awaitReady waits until the server serves; its error is the one for which the server would have ended the process.
func (n *NATS) awaitReady(ctx context.Context, fatal <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, natsReadyTimeout, errors.New("server not ready in time"))
	defer cancel()
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("waiting for nats: %w", context.Cause(ctx))
		case <-ticker.C:
			if addr := n.server.Addr(); addr != nil && n.server.JetStreamEnabled() {
				n.addr = addr.String()
				n.gate.settle(true)
				return nil
			}
		}
	}
}

// apply configures the server as a member of the cluster.
func (c *NATSCluster) apply(options *server.Options) error {
	if c == nil {
		return nil
	}
	addr, err := parseLoopback(c.Addr)
	if err != nil {
		return err
	}
	options.ServerName = c.Name
	options.Cluster = server.ClusterOpts{Name: "hookturn-devstack", Host: addr.IP, Port: addr.Port}
	for _, route := range c.Routes {
		options.Routes = append(options.Routes, &url.URL{Scheme: "nats", Host: route})
	}
	return nil
}

// developer is the user of clients without a user: it has all permissions in hookturn's account.
const developer = "developer"

// Engine is the user with which the engine of tenant default logs in.
const Engine = "engine"

// natsOptions has the users of deploy/nats-server.conf. The password of each is its name: the server listens on loopback,
// and a client without a user may do even more.
func natsOptions(addr address, opts NATSOptions) (*server.Options, error) {
	options := &server.Options{}
	accounts := permissions.Accounts(permissions.Config{
		Engines: []permissions.Engine{{Tenant: "default", User: Engine}}, Password: strconv.Quote, Unlimited: developer,
	})
	if err := options.ProcessConfigString(accounts + "no_auth_user: " + developer + "\n"); err != nil {
		return nil, fmt.Errorf("configure accounts: %w", err)
	}
	options.ServerName = "hookturn-devstack"
	options.Host, options.Port = addr.IP, addr.Port
	options.NoSigs = true
	options.MaxPayload = schemas.MessageMax + headroom
	options.JetStream, options.StoreDir = true, opts.DataDir
	options.JetStreamMaxStore = opts.MaxStore
	options.SyncInterval = opts.SyncInterval
	options.SyncAlways = true // as shipped, an acknowledged message may be lost for two minutes when the power fails
	return options, nil
}

// Addr returns the host:port that clients dial.
func (n *NATS) Addr() string { return n.addr }

// URL returns the address in the form of NATS clients.
func (n *NATS) URL() string { return "nats://" + n.Addr() }

// UserURL returns the address with a user: one of internal/permissions, or Engine.
func (n *NATS) UserURL(user string) string { return "nats://" + user + ":" + user + "@" + n.Addr() }

// Stop ends the server; the streams stay in the data directory, unless that was a temporary one.
func (n *NATS) Stop() {
	n.stop.Do(func() {
		n.gate.settle(false)
		if n.server != nil {
			n.server.Shutdown()
			n.server.WaitForShutdown()
		}
		if n.tempDir != "" {
			_ = os.RemoveAll(n.tempDir)
		}
	})
}

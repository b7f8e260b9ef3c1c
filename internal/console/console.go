// Package console is the operators' console of a starter: HTML pages about conversations, steps, dead letters, endpoints and
// bots, and, where the installation allows them, the actions of the tools. A page shows what the tool of the same name
// prints. It does not use scripts: each page is a form or a table.
package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// Options are what the pages need. All fields are required unless they say otherwise.
type Options struct {
	Operators *adminapi.Operators
	Bots      Bots
	Temporal  client.Client
	Namespace string
	Converter converter.DataConverter
	// Reads records what owners read of encrypted histories; nil: payloads are in clear, and each role reads them.
	Reads   *audit.Reads
	UI      string // URL of the Temporal UI, for links; "" = no links
	Gateway string // public URL of the gateway; "" = paths are shown
	Actions bool   // false: the console only reads
	TLS     *tls.Config
	Proxies []netip.Prefix // whose X-Forwarded-For is believed
	// Retry repeats what reads from a server that is away or busy.
	Retry func(ctx context.Context, request func(context.Context) error) error
	Log   *slog.Logger
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
	Status() bot.Status
}

// Bounds of one request.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	workTimeout   = 20 * time.Second // what a page may take of NATS and Temporal, and an action
	writeTimeout  = 45 * time.Second
	stopTimeout   = 5 * time.Second // what actions may still take when the console stops
	headerMax     = 16 << 10
	bodyMax       = 16 << 10
	// requestsMax bounds the requests that are served at a time: a list of failed steps reads all stored replies.
	requestsMax = 8
	// wholeMax bounds the conversations that are read at a time: a run has up to 50 MB of history.
	wholeMax = 1
	rowsMax  = 100
)

// Console serves the pages.
type Console struct {
	Options

	sessions *sessions
	failures *failures
	running  chan struct{}
	whole    chan struct{}
	nats     atomic.Pointer[connection]
	http     *http.Server
	listener net.Listener
	endAll   context.CancelFunc // ends the contexts of all requests
	done     chan error
}

// connection is the console's connection to NATS.
type connection struct {
	js      bus.JetStream
	streams bus.Streams
}

// New returns a new Console, without a listener.
func New(o Options) *Console {
	return &Console{
		Options: o, sessions: newSessions(), failures: &failures{}, running: make(chan struct{}, requestsMax),
		whole: make(chan struct{}, wholeMax), done: make(chan error, 1),
	}
}

// Connect sets the connection to NATS. Until then, each page is answered with 503.
func (c *Console) Connect(js bus.JetStream, streams bus.Streams) {
	c.nats.Store(&connection{js, streams})
}

// Start listens on addr (port 0 = any free one) and serves.
func (c *Console) Start(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	c.serve(listener)
	return nil
}

// serve serves the connections of a listener.
func (c *Console) serve(listener net.Listener) {
	base, cancel := context.WithCancel(context.Background())
	c.listener, c.endAll = listener, cancel
	c.http = &http.Server{
		Handler: c.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: time.Minute, MaxHeaderBytes: headerMax, ErrorLog: telemetry.ServerLog(c.Log), TLSConfig: c.TLS,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	go func() {
		if c.TLS != nil {
			c.done <- c.http.ServeTLS(listener, "", "")
			return
		}
		c.done <- c.http.Serve(listener)
	}()
}

// Addr returns the address of the listener, "" when there is none.
func (c *Console) Addr() string {
	if c == nil {
		return ""
	}
	return c.listener.Addr().String()
}

// Stop interrupts the pages that are made, and waits for actions until ctx ends, at most five seconds: other parts of the
// starter stop after it. An action that takes longer goes on without its client.
func (c *Console) Stop(ctx context.Context) error {
	c.endAll()
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := c.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, c.http.Close())
	}
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// inspector returns an inspector of the runs in Temporal and of the stored replies.
func (c *Console) inspector(n *connection) *inspect.Inspector {
	return &inspect.Inspector{
		Temporal: c.Temporal, Namespace: c.Namespace, Converter: c.Converter, Streams: n.streams, UI: c.UI,
	}
}

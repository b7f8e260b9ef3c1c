package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// stopPatience is how long Stop waits for requests that do not end by themselves.
const stopPatience = 2 * time.Second

// Options configures an endpoint. The zero value does not check signatures and listens on a free port.
type Options struct {
	// Secret is what requests are signed with. Empty: signatures are not looked at.
	Secret string
	// Addr is where to listen. Empty means 127.0.0.1:0.
	Addr string
	// TLS, when set, is how the endpoint is served by https.
	TLS *tls.Config
	// LedgerSize is how many requests the ledger holds; the oldest go first. 0 means LedgerSizeDefault.
	LedgerSize int
}

// Endpoint is a webhook server. It is safe for concurrent use.
type Endpoint struct {
	secret string
	tls    *tls.Config
	ledger *Ledger
	routes http.Handler

	mu     sync.Mutex
	addr   string
	added  map[string]http.HandlerFunc
	server *http.Server
	cancel context.CancelFunc
	served chan struct{}
	done   <-chan struct{}       // ends when the endpoint stops
	taken  map[net.Conn]struct{} // connections that a behaviour took from the server
	calls  sync.WaitGroup        // callbacks in flight
}

// New returns a new endpoint, which does not listen yet. It is also an http.Handler, for tests with another server.
func New(opts Options) *Endpoint {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	e := &Endpoint{
		secret: opts.Secret,
		addr:   opts.Addr,
		ledger: newLedger(opts.LedgerSize),
		added:  map[string]http.HandlerFunc{},
		taken:  map[net.Conn]struct{}{},
		tls:    opts.TLS,
	}
	e.routes = e.newRoutes()
	return e
}

// Start listens and returns the host:port. After a Stop it listens at the same address as before.
func (e *Endpoint) Start() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		return "", errors.New("endpoint already started")
	}
	listener, err := net.Listen("tcp", e.addr)
	if err != nil {
		return "", fmt.Errorf("start endpoint: %w", err)
	}
	address := listener.Addr().String()
	if e.tls != nil {
		listener = tls.NewListener(listener, e.tls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	e.addr, e.server, e.cancel, e.served, e.done = address, server, cancel, served, ctx.Done()
	return e.addr, nil
}

// Stop ends requests that are waiting and closes the address. It does nothing when the endpoint is not started.
func (e *Endpoint) Stop() {
	e.mu.Lock()
	server := e.server
	e.server = nil
	if server == nil {
		e.mu.Unlock()
		return
	}
	e.cancel()
	for conn := range e.taken {
		_ = conn.Close()
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close()
	}
	<-e.served
	e.calls.Wait()
}

// stopped ends when the endpoint stops.
func (e *Endpoint) stopped() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done
}

// Addr is the host:port where the endpoint listens, or has listened last.
func (e *Endpoint) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addr
}

// URL is the base URL of the endpoint, without a slash at its end.
func (e *Endpoint) URL() string {
	if e.tls != nil {
		return "https://" + e.Addr()
	}
	return "http://" + e.Addr()
}

// Ledger is the record of all requests.
func (e *Endpoint) Ledger() *Ledger { return e.ledger }

// Handle serves a path with a behaviour of the caller's. It takes precedence over a route of that path and may be
// called while the endpoint runs. The request's body can be read as usual; nothing has been checked.
func (e *Endpoint) Handle(path string, behaviour http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.added[path] = behaviour
}

// route finds what serves a path.
func (e *Endpoint) route(path string) http.Handler {
	e.mu.Lock()
	defer e.mu.Unlock()
	if behaviour, ok := e.added[path]; ok {
		return behaviour
	}
	return e.routes
}

package servers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/temporalio/ui-server/v2/server"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// UI is a running Temporal web UI.
type UI struct {
	server *server.Server
	addr   string
	ended  chan struct{} // closed once the server has returned
	failed error         // its error; valid after ended
	stop   sync.Once
}

// StartUI serves the web UI for the Temporal server at temporalAddr on a loopback address; an empty addr or port 0 means a
// free one. It returns when pages are served. The context bounds the start only.
func StartUI(ctx context.Context, addr, temporalAddr string) (*UI, error) {
	listen, err := claimLoopback(addr)
	if err != nil {
		return nil, fmt.Errorf("start ui: %w", err)
	}
	srv, err := newUIServer(uiConfig(listen, temporalAddr))
	if err != nil {
		return nil, fmt.Errorf("start ui: %w", err)
	}
	u := &UI{server: srv, addr: listen.String(), ended: make(chan struct{})}
	go func() {
		defer close(u.ended)
		u.failed = srv.Start()
	}()
	if err := u.awaitHealth(ctx); err != nil {
		u.Stop()
		return nil, fmt.Errorf("start ui: %w", err)
	}
	return u, nil
}

// newUIServer turns the panics of the constructor into errors.
func newUIServer(cfg *config.Config) (srv *server.Server, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	return server.NewServer(server_options.WithConfigProvider(cfg)), nil
}

func uiConfig(listen address, temporalAddr string) *config.Config {
	return &config.Config{
		TemporalGRPCAddress: temporalAddr,
		Host:                listen.IP,
		Port:                listen.Port,
		EnableUI:            true,
		DefaultNamespace:    NamespaceDefault,
		// Plain http on loopback: a browser would not send a secure cookie.
		CORS:     config.CORS{CookieInsecure: true},
		HideLogs: true,
		// The stack connects to no server outside this machine.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
	}
}

func (u *UI) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	return await(ctx, "ui at "+u.addr, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL()+"/healthz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// Addr returns the host:port of the UI.
func (u *UI) Addr() string { return u.addr }

// URL returns the address of the UI's first page.
func (u *UI) URL() string { return "http://" + u.addr }

// Stop closes the UI and its connections to browsers.
func (u *UI) Stop() {
	u.stop.Do(func() {
		u.server.Stop()
		<-u.ended
	})
}

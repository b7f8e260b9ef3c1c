// Package gateway is the outside door: one HTTP listener of the starter. Whatever it refuses, it answers with
// application/problem+json (RFC 9457) whose kind is a failure word.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// Options are what the routes need. All fields but Metrics are required.
type Options struct {
	Callbacks Callbacks // opens callback addresses
	Temporal  Temporal
	Log       *slog.Logger
	Metrics   *telemetry.Metrics
}

// Server is a running gateway.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan error
}

// Start listens on addr (port 0 = any free one) and serves.
func Start(addr string, o Options) (*Server, error) { return serve(addr, o.routes()) }

// routes is every path of the gateway.
func (o Options) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /callbacks/{token}", o.takeCallback)
	mux.HandleFunc("/callbacks/{token}", only(http.MethodPost))
	mux.HandleFunc("/", notFound)
	return watched(mux, o.Log, o.Metrics)
}

func serve(addr string, routes http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Server{
		http: &http.Server{
			Handler:           routes,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      time.Minute,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
		},
		listener: listener,
		done:     make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Addr is the address on which the gateway listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop lets running requests finish until ctx ends, and cuts off what still runs then.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("gateway: requests were cut off: %w", err), s.http.Close())
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Package gateway is the outside door: one HTTP listener of the starter. Whatever it refuses, it answers with
// application/problem+json (RFC 9457).
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server is a running gateway. This version has the listener and no routes yet: every path is answered 404.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan error
}

// Start listens on addr (port 0 = any free one) and serves.
func Start(addr string) (*Server, error) { return serve(addr, http.HandlerFunc(notFound)) }

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

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func notFound(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(problem{
		Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound, Detail: "no such path: " + r.URL.Path,
	})
	if err != nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(body) // the client may be gone: there is nobody left to tell
}

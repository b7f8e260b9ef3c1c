package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves every behaviour under its name: /reset, /drip, /busy and so on, for every method.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error

	mu    sync.Mutex
	taken map[net.Conn]struct{} // connections that a behaviour took from the server
}

// Paths lists the paths of a server.
func Paths() []string {
	paths := []string{"/busy", "/redirect"}
	for _, name := range Names() {
		paths = append(paths, "/"+name)
	}
	return paths
}

// Start listens on addr (port 0 = any free one) and serves.
func Start(addr string) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("chaos endpoint: %w", err)
	}
	s := &Server{listener: listener, done: make(chan error, 1), taken: map[net.Conn]struct{}{}}
	mux := http.NewServeMux()
	for _, name := range Names() {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) { s.take(w, name) })
	}
	mux.HandleFunc("/redirect", Redirect)
	mux.Handle("/busy", &Busy{})
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

func (s *Server) take(w http.ResponseWriter, name string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.taken[conn] = struct{}{}
	s.mu.Unlock()
	Run(name, conn)
	s.mu.Lock()
	delete(s.taken, conn)
	s.mu.Unlock()
}

// URL returns the address of the server.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Stop cuts off every connection.
func (s *Server) Stop(context.Context) error {
	err := s.http.Close()
	s.mu.Lock()
	for conn := range s.taken {
		_ = conn.Close()
	}
	s.mu.Unlock()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Package adminapi is the operator's listener of a process: liveness, readiness, metrics, and the admin API. The admin API
// needs the operator token; the rest is open to every client of the listener.
package adminapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/visible"
)

// Server is the operator's listener. The nil *Server is one that was not asked for.
type Server struct {
	listener net.Listener
	http     *http.Server
	api      atomic.Pointer[http.Handler] // the admin API; nil: not started, or disabled
	done     chan error
}

// Enable starts the admin API.
func (s *Server) Enable(api http.Handler) {
	if s != nil {
		s.api.Store(&api)
	}
}

// readyTimeout bounds the requests of /readyz to the servers.
const readyTimeout = 3 * time.Second

// answerTimeout bounds one request, so that a client that does not read cannot hold up a stop.
const answerTimeout = 15 * time.Second

// Start listens on addr (port 0 = any free one) and serves; without an address it returns nil.
func Start(addr string, m *telemetry.Metrics, state *Readiness, log *slog.Logger) (*Server, error) {
	if addr == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	s := &Server{listener: listener, done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("/admin/v1/", s.serveAPI)
	mux.HandleFunc("/codec/", s.serveAPI)
	mux.HandleFunc("GET /healthz", state.healthz)
	mux.HandleFunc("GET /readyz", state.readyz)
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: time.Minute, ErrorLog: telemetry.ServerLog(log),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if handler := s.api.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	http.Error(w, "the admin API is disabled: set --operator-token-file, and wait until the starter is ready",
		http.StatusNotFound)
}

func (r *Readiness) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := r.Alive(); err != nil {
		http.Error(w, visibleLine("not alive: "+err.Error()), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (r *Readiness) readyz(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), readyTimeout)
	defer cancel()
	answer := []string{"ready"}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := r.ask(ctx); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		answer[0] = "not ready: " + err.Error()
	}
	if req.URL.Query().Has("verbose") {
		answer = append(answer, r.detail()...)
	}
	for _, line := range answer {
		fmt.Fprintln(w, visibleLine(line))
	}
}

// visibleLine returns text of other parties, such as names of files and errors of servers, on one line and with escapes for
// control and format characters.
func visibleLine(text string) string {
	return string(visible.Text([]byte(strings.ReplaceAll(text, "\n", " "))))
}

// Stop waits for running requests until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Addr returns the address of the listener, "" when there is none.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// admin is the operator's listener: liveness, readiness, metrics, and the admin API.
type admin struct {
	listener net.Listener
	channels atomic.Pointer[http.Handler] // the admin API; nil: not started, or disabled
}

// administer enables the admin API.
func (a *admin) administer(channels http.Handler) {
	if a != nil {
		a.channels.Store(&channels)
	}
}

// readiness answers /readyz. The listener starts before the connections, so that an orchestrator sees a live process while
// NATS or Temporal is not available.
type readiness struct {
	question atomic.Pointer[func(context.Context) error]
	dead     atomic.Pointer[error] // why the process cannot continue; nil: it can
	details  atomic.Pointer[func() []string]
}

// explain sets the lines that /readyz?verbose adds. They do not change whether the process is ready.
func (r *readiness) explain(details func() []string) { r.details.Store(&details) }

func (r *readiness) detail() []string {
	if details := r.details.Load(); details != nil {
		return (*details)()
	}
	return nil
}

// end marks the process as failed: it is neither alive nor ready from now on.
func (r *readiness) end(reason error) { r.dead.CompareAndSwap(nil, &reason) }

// alive answers /healthz. A server that is not available for a while does not make the process unhealthy: the process
// reconnects by itself.
func (r *readiness) alive() error {
	if dead := r.dead.Load(); dead != nil {
		return *dead
	}
	return nil
}

// begin marks the process as started; from now on the question decides whether it is ready.
func (r *readiness) begin(question func(context.Context) error) { r.question.Store(&question) }

func (r *readiness) ask(ctx context.Context) error {
	if err := r.alive(); err != nil {
		return err
	}
	question := r.question.Load()
	if question == nil {
		return errors.New("still starting: waiting for NATS or Temporal, see the log")
	}
	return (*question)(ctx)
}

// readyTimeout bounds the requests of /readyz to the servers.
const readyTimeout = 3 * time.Second

// answerTimeout bounds one request, so that a client that does not read cannot hold up a stop.
const answerTimeout = 15 * time.Second

// health is the state that /healthz and /readyz report. *readiness implements it.
type health interface {
	alive() error
	ask(ctx context.Context) error
	detail() []string
}

func startAdmin(addr string, m *telemetry.Metrics, state health, p *parts) (*admin, error) {
	if addr == "" {
		return nil, nil
	}
	a := &admin{}
	var err error
	if a.listener, err = net.Listen("tcp", addr); err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("/admin/v1/", func(w http.ResponseWriter, r *http.Request) {
		if handler := a.channels.Load(); handler != nil {
			(*handler).ServeHTTP(w, r)
			return
		}
		http.Error(w, "the admin API is disabled: set --operator-token-file, and wait until the starter is ready",
			http.StatusNotFound)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := state.alive(); err != nil {
			http.Error(w, "not alive: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		answer := []string{"ready"}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := state.ask(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			answer[0] = "not ready: " + err.Error()
		}
		if r.URL.Query().Has("verbose") {
			answer = append(answer, state.detail()...)
		}
		fmt.Fprintln(w, strings.Join(answer, "\n"))
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: time.Minute, ErrorLog: telemetry.ServerLog(p.log),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(a.listener) }()
	p.add("admin listener", func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return a, nil
}

func (a *admin) addr() string {
	if a == nil {
		return ""
	}
	return a.listener.Addr().String()
}

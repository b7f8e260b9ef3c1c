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

// admin is the listener of the operator: liveness, readiness, metrics, and the administration of channels.
type admin struct {
	listener net.Listener
	channels atomic.Pointer[http.Handler] // nil: not yet, or not at all
}

// administer opens the administration.
func (a *admin) administer(channels http.Handler) {
	if a != nil {
		a.channels.Store(&channels)
	}
}

// readiness answers /readyz. The listener comes first and the connections after it, so that an orchestrator sees a live
// process while NATS or Temporal is away.
type readiness struct {
	question atomic.Pointer[func(context.Context) error]
	dead     atomic.Pointer[error] // why the process cannot go on; nil: it can
	details  atomic.Pointer[func() []string]
}

// explain sets what /readyz?verbose adds, a line each. It does not change whether the process is ready.
func (r *readiness) explain(details func() []string) { r.details.Store(&details) }

func (r *readiness) detail() []string {
	if details := r.details.Load(); details != nil {
		return (*details)()
	}
	return nil
}

// end marks the process as one that cannot go on: it is neither alive nor ready from now on.
func (r *readiness) end(reason error) { r.dead.CompareAndSwap(nil, &reason) }

// alive answers /healthz. A server that is away for a while is no reason: the process would come back without it.
func (r *readiness) alive() error {
	if dead := r.dead.Load(); dead != nil {
		return *dead
	}
	return nil
}

// begin says that the process serves; from now on the question decides.
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

// readyTimeout bounds the questions that /readyz asks.
const readyTimeout = 3 * time.Second

// answerTimeout bounds one request, so that a client that does not read cannot hold up a stop.
const answerTimeout = 15 * time.Second

// health is what /healthz and /readyz ask. *readiness is one.
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
		http.Error(w, "the administration is off here: set --operator-token-file, and wait until the starter is ready",
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

package adminapi

import (
	"context"
	"errors"
	"sync/atomic"
)

// Readiness answers /healthz and /readyz. The listener starts before the connections, so that an orchestrator sees a live
// process while NATS or Temporal is not available.
type Readiness struct {
	question atomic.Pointer[func(context.Context) error]
	dead     atomic.Pointer[error] // why the process cannot continue; nil: it can
	stopping atomic.Bool
	details  atomic.Pointer[func() []string]
}

// Explain sets the lines that /readyz?verbose adds. They do not change whether the process is ready.
func (r *Readiness) Explain(details func() []string) { r.details.Store(&details) }

func (r *Readiness) detail() []string {
	if details := r.details.Load(); details != nil {
		return (*details)()
	}
	return nil
}

// End marks the process as failed: it is neither alive nor ready from now on.
func (r *Readiness) End(reason error) { r.dead.CompareAndSwap(nil, &reason) }

// Stop marks the process as stopping: it is not ready from now on, and still alive.
func (r *Readiness) Stop() { r.stopping.Store(true) }

// Alive answers /healthz. A server that is not available for a while does not make the process unhealthy: the process
// reconnects by itself.
func (r *Readiness) Alive() error {
	if dead := r.dead.Load(); dead != nil {
		return *dead
	}
	return nil
}

// Begin marks the process as started; from now on the question decides whether it is ready.
func (r *Readiness) Begin(question func(context.Context) error) { r.question.Store(&question) }

func (r *Readiness) ask(ctx context.Context) error {
	if err := r.Alive(); err != nil {
		return err
	}
	if r.stopping.Load() {
		return errors.New("the process is stopping")
	}
	question := r.question.Load()
	if question == nil {
		return errors.New("still starting: waiting for NATS or Temporal, see the log")
	}
	return (*question)(ctx)
}

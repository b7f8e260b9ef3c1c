package codeworker

import (
	"context"
	"errors"
	"time"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// lostTries and lostPause are how often, and with what wait, a request is repeated that a code worker does not receive,
// before the code worker counts as lost: it may be about to reconnect to NATS.
const (
	lostTries = 6
	lostPause = 500 * time.Millisecond
)

// RunOnce runs the script of an activity that another code worker may have begun: this one claims it, or waits for the one
// that has the claim. A fault means that the script has no result and that the activity can be tried again.
func (s *Server) RunOnce(ctx context.Context, run step.ScriptRun) (step.ScriptResult, *fault.Fault) {
	for worker, lost := s.Name, 0; ; {
		attempt, err := s.request(ctx, worker, run)
		missing, notReceived := errors.AsType[*fault.Fault](err)
		switch {
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
				s.stopAt(ctx, worker, run)
			}
			return step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown, "the run was stopped while the script ran")}, nil
		case notReceived && missing.Kind == fault.SandboxUnavailable && lost >= lostTries:
			return workerLost(), nil
		case notReceived && missing.Kind == fault.SandboxUnavailable:
			lost++
			select {
			case <-time.After(lostPause):
			case <-ctx.Done():
			}
		case err != nil, attempt.NotBegun && attempt.Unclear:
			return step.ScriptResult{}, fault.New(fault.OutcomeUnknown, "it is not known whether the script has begun")
		case attempt.NotBegun:
			return step.ScriptResult{}, fault.New(fault.SandboxUnavailable, "the sandbox did not start: see the worker's log")
		case attempt.Running == "":
			return attempt.ScriptResult, nil
		default:
			worker, lost = attempt.Running, 0
		}
	}
}

// request sends a request to a code worker, which may be this one.
func (s *Server) request(ctx context.Context, worker string, run step.ScriptRun) (step.ScriptAttempt, error) {
	if worker == s.Name {
		return s.Handle(ctx, step.ScriptRequest{Run: run}), nil
	}
	return s.Peers.request(ctx, worker, step.ScriptRequest{Run: run})
}

// stopAt stops a script at a code worker, which may be this one.
func (s *Server) stopAt(ctx context.Context, worker string, run step.ScriptRun) {
	if worker != s.Name {
		s.Peers.stop(ctx, worker, run)
		return
	}
	if attempt := s.attempts.Find(keyOf(run)); attempt != nil {
		attempt.Stop(egress.ErrCancelled)
	}
}

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

// Begun returns the result of the script of an activity that a code worker may have begun for a first attempt, and waits for
// it. It returns nil when none has begun the script: then none does from here on, and the activity runs it. A fault means
// that this is not known yet and that the activity can be tried again. When a run started ten minutes ago or more and its
// script is not claimed, the outcome is unknown.
func (s *Server) Begun(ctx context.Context, run step.ScriptRun) (*step.ScriptResult, *fault.Fault) {
	holder, lost, err := claimForActivity(ctx, s.Claims, run)
	switch {
	case err != nil:
		s.Log.WarnContext(ctx, "claiming a script failed", "channel", run.Channel, "request", run.ID, "error", err)
		return nil, fault.New(fault.OutcomeUnknown, "it is not known whether the script has begun")
	case lost:
		result := claimsLost()
		return &result, nil
	case holder == byActivity:
		return nil, nil
	}
	return s.await(ctx, holder, run)
}

// await waits for the result of a script at the code worker that has claimed it.
func (s *Server) await(ctx context.Context, worker string, run step.ScriptRun) (*step.ScriptResult, *fault.Fault) {
	for lost := 0; ; {
		attempt, err := s.request(ctx, worker, run)
		missing, notReceived := errors.AsType[*fault.Fault](err)
		switch {
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
				s.stopAt(ctx, worker, run)
			}
			f := fault.New(fault.OutcomeUnknown, "the run was stopped while the script ran")
			return &step.ScriptResult{Fault: f}, nil
		case notReceived && missing.Kind == fault.SandboxUnavailable && lost >= lostTries:
			result := workerLost()
			return &result, nil
		case notReceived && missing.Kind == fault.SandboxUnavailable:
			lost++
			select {
			case <-time.After(lostPause):
			case <-ctx.Done():
			}
		case err != nil, attempt.NotBegun && attempt.Unclear:
			return nil, fault.New(fault.OutcomeUnknown, "it is not known whether the script has begun")
		case attempt.NotBegun: // its claim is the activity's at the next try
			return nil, fault.New(fault.SandboxUnavailable, "the sandbox did not start: see the worker's log")
		case attempt.Running == "":
			return &attempt.ScriptResult, nil
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

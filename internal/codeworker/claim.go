package codeworker

import (
	"context"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Claims record which code worker has begun the script of a run. *store.ScriptClaims is one.
type Claims interface {
	// Claim records that a code worker begins a script, unless one has. It returns which one has the claim, and whether this
	// call created it. After an error the claim may be recorded.
	Claim(ctx context.Context, owner schemas.BotID, id, worker string) (holder string, created bool, err error)
	// Since returns the moment before which claims are not recorded: they were lost.
	Since(ctx context.Context) (time.Time, error)
}

// claimTimeout bounds the claim of a script. One that takes longer leaves the script to an activity.
const claimTimeout = 2 * time.Second

// runClaimed claims a script and runs it, and reports whether the script has ended. A claim of this process that it did not
// create now is one that could not be confirmed, or whose script did not begin: notBegun has those, and the script runs.
// Otherwise it is that of a script which this process does not know any more.
func (s *Server) runClaimed(ctx context.Context, run step.ScriptRun) (attempt step.ScriptAttempt, ended bool) {
	holder, created, err := s.claim(ctx, run)
	var lost bool
	if err == nil && holder == s.Name && run.Once {
		lost, err = s.lostClaims(ctx, run)
	}
	switch {
	case err != nil:
		s.notBegun.Set(keyOf(run), struct{}{})
		s.Log.WarnContext(ctx, "claiming a script failed, an activity runs it", "channel", run.Channel, "request", run.ID,
			"error", err)
		return step.ScriptAttempt{NotBegun: true, Unclear: true}, false
	case holder != s.Name:
		return step.ScriptAttempt{Running: holder}, false
	case !created && !s.notBegun.Remove(keyOf(run)):
		return step.ScriptAttempt{ScriptResult: workerLost()}, false
	case lost:
		return step.ScriptAttempt{ScriptResult: claimsLost()}, false
	}
	result, err := s.Runner.Run(ctx, run)
	if err != nil {
		s.notBegun.Set(keyOf(run), struct{}{})
		return step.ScriptAttempt{NotBegun: true}, false
	}
	return step.ScriptAttempt{ScriptResult: result}, true
}

func (s *Server) claim(ctx context.Context, run step.ScriptRun) (holder string, created bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return s.Claims.Claim(ctx, run.Plan.BotID, run.ID, s.Name)
}

// lostClaims reports whether a claim of the run may be lost: then that of this process does not prove that no code worker
// has begun the script.
func (s *Server) lostClaims(ctx context.Context, run step.ScriptRun) (bool, error) {
	if run.Started.IsZero() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	since, err := s.Claims.Since(ctx)
	return since.After(run.Started.Add(-step.ClockSlack)), err
}

// workerLost returns the result of a script whose code worker has begun it and cannot report on it.
func workerLost() step.ScriptResult {
	return step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown,
		"the worker was lost while the script ran: look whether it had its effect")}
}

// claimsLost returns the result of a script that a code worker may have begun whose claim is lost.
func claimsLost() step.ScriptResult {
	return step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown,
		"NATS lost the claims of scripts during the run: look whether the script had its effect")}
}

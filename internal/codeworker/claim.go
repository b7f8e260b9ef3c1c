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
	// Since returns the moment before which claims are not recorded: they have expired or were lost.
	Since(ctx context.Context) (time.Time, error)
	// Pass changes the holder of a claim of the caller.
	Pass(ctx context.Context, owner schemas.BotID, id, holder string) error
}

// byActivity is the holder of a claim that leaves the script to the activity of its run: no first attempt begins it.
const byActivity = "activity"

// firstAttemptsFor is how long after the start of its run a first attempt begins a script. A request that comes later may be
// that of a worker which was stopped meanwhile, and the claim of the attempt that was made instead expires after ten
// minutes.
const firstAttemptsFor = 8 * time.Minute

// claimTimeout bounds the claim of a script. One that takes longer leaves the script to an activity.
const claimTimeout = 2 * time.Second

// runClaimed claims a script and runs it, and reports whether the script has ended. A claim of this process that it did not
// create now is one that could not be confirmed, or whose script did not begin: notBegun has those, and the script runs.
// Otherwise it is that of a script which this process does not know any more.
func (s *Server) runClaimed(ctx context.Context, run step.ScriptRun) (attempt step.ScriptAttempt, ended bool) {
	holder, created, err := claim(ctx, s.Claims, run, s.Name)
	var lost bool
	if err == nil && holder == s.Name && run.Once {
		lost, err = lostClaims(ctx, s.Claims, run)
	}
	switch {
	case err != nil:
		s.notBegun.Set(keyOf(run), struct{}{})
		s.Log.WarnContext(ctx, "claiming a script failed, an activity runs it", "channel", run.Channel, "request", run.ID,
			"error", err)
		return step.ScriptAttempt{NotBegun: true, Unclear: true}, false
	case holder == byActivity:
		return step.ScriptAttempt{NotBegun: true}, false
	case holder != s.Name:
		return step.ScriptAttempt{Running: holder}, false
	case !created && !s.notBegun.Remove(keyOf(run)):
		return step.ScriptAttempt{ScriptResult: workerLost()}, false
	case lost:
		return step.ScriptAttempt{ScriptResult: claimsLost()}, false
	}
	result, err := s.Runner.Run(ctx, run)
	if err != nil {
		s.passToActivity(ctx, run)
		return step.ScriptAttempt{NotBegun: true}, false
	}
	return step.ScriptAttempt{ScriptResult: result}, true
}

// passToActivity passes the claim of a script that did not begin to the activity of its run: this process may be gone when
// the activity has a sandbox, and its claim would then look like that of a script which was lost.
func (s *Server) passToActivity(ctx context.Context, run step.ScriptRun) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	if err := s.Claims.Pass(ctx, run.Plan.BotID, run.ID, byActivity); err != nil {
		s.notBegun.Set(keyOf(run), struct{}{})
		s.Log.WarnContext(ctx, "passing on the claim of a script failed", "channel", run.Channel, "request",
			run.ID, "error", err)
	}
}

// claimForActivity claims a script for the activity of its run, so that no first attempt begins it from here on. It returns
// which code worker has claimed it before, byActivity when none has; and lost when none is known to have, but claims of the
// run may be lost. Nothing is claimed then. This must be known before, or the next try of the activity would find a claim
// that proves nothing.
func claimForActivity(ctx context.Context, c Claims, run step.ScriptRun) (holder string, lost bool, err error) {
	if lost, err = lostClaims(ctx, c, run); err != nil || lost {
		return "", lost, err
	}
	holder, _, err = claim(ctx, c, run, byActivity)
	return holder, false, err
}

func claim(ctx context.Context, c Claims, run step.ScriptRun, holder string) (has string, created bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return c.Claim(ctx, run.Plan.BotID, run.ID, holder)
}

// lostClaims reports whether a claim of the run may be lost: then one that can be created does not prove that no code worker
// has begun the script.
func lostClaims(ctx context.Context, c Claims, run step.ScriptRun) (bool, error) {
	if run.Started.IsZero() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	since, err := c.Since(ctx)
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
		"the claims of the run's script were lost or have expired: look whether the script had its effect")}
}

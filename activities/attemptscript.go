package activities

import (
	"context"

	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
)

// AttemptScript makes the first attempt at the script of a run, as a local activity in the worker of workflows: a code
// worker runs the script, or none begins it. A repetition of the activity in the same process joins the attempt that it
// began. One in another process cannot know whether the script has begun: its attempt is unclear unless a code worker has
// the result.
func (a *Activities) AttemptScript(ctx context.Context, in step.ScriptRun) (step.ScriptAttempt, error) {
	key := flight.KeyOf(ctx, in.Plan.Tenant, "", in.ID, 1)
	attempt := a.scriptAttempts.Find(key)
	if attempt == nil {
		first, reassigned := a.runs.markSeen(key.Run)
		in.Once = reassigned || !first
		if a.CodeWorkers == nil {
			return step.ScriptAttempt{NotBegun: true, Unclear: in.Once}, nil
		}
		makeAttempt := a.CodeWorkers.Attempt
		if a.CodeWorkers.Slow(in) {
			if !in.Once {
				return step.ScriptAttempt{NotBegun: true}, nil
			}
			makeAttempt = a.CodeWorkers.LeaveToActivity
		}
		attempt = a.scriptAttempts.JoinOrStart(ctx, a.Log, key, flight.Plan[step.ScriptAttempt]{
			Make: func(ctx context.Context, f *flight.Flight[step.ScriptAttempt]) step.ScriptAttempt {
				f.Keep = true
				result := makeAttempt(ctx, in)
				f.Bytes = codeworker.Size(result)
				return result
			},
			Panicked: step.ScriptAttempt{NotBegun: true, Unclear: true},
		})
	}
	return attempt.Wait(ctx), nil
}

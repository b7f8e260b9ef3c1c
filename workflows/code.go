package workflows

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// codeSlack is what the activity of a code step gets above the script's timeout: it waits for a sandbox and reads and
	// keeps the user's details.
	codeSlack = 15 * time.Second
	// codeWait is how long a step waits for a worker that polls the queue of code steps.
	codeWait = 30 * time.Second
	// codeTries bounds how often a step asks for a sandbox while none is free.
	codeTries = 3
	// codeHeartbeat is how soon a lost worker is noticed while a script runs, or waits for a sandbox.
	codeHeartbeat = 10 * time.Second
	// asyncPause bounds the wait between two tries to begin a script for which no caller waits.
	asyncPause = 30 * time.Second
)

// runCode runs the script of a code step. A script may have called out: once a worker may have begun with it, it is never
// run again, whatever became of the worker (outcome_unknown). An activity that the server has given up because no heartbeat
// came is tried again all the same: it takes the result of the script that still runs in its process, and begins nothing.
func runCode(ctx workflow.Context, in step.WebhookInput) (step.WebhookResult, *fault.Fault) {
	in.Accepted = workflow.Now(ctx)
	in.Deadline = in.Accepted.Add(codeWait + codeTries*(in.Plan.Code.Timeout.D()+codeSlack))
	ctx = onCodeQueue(ctx, in.Plan.Code.Timeout.D(), in.Plan.Step+": "+in.Plan.Code.File)
	var result step.CodeResult
	if err := workflow.ExecuteActivity(ctx, step.ActivityCode, in).Get(ctx, &result); err != nil {
		return step.WebhookResult{Attempts: lostRun(err, in.Plan)}, codeFault(err)
	}
	return result.WebhookResult, result.Fault
}

// lostRun is the run of a script that a worker had begun before it was lost; nil when no worker is known to have.
func lostRun(err error, p bot.Plan) []schemas.Attempt {
	var progress step.Progress
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &timeout) && timeout.HasLastHeartbeatDetails():
		_ = timeout.LastHeartbeatDetails(&progress)
	case errors.As(err, &app) && app.HasDetails():
		_ = app.Details(&progress)
	}
	if progress.Running == nil {
		return nil
	}
	progress.Running.URL = "script:" + p.Code.File
	return progress.CountLost().Attempts
}

// runScript runs a channel's script, by the same rules. The run of a failed script fails as well, which shows in the
// list of the Temporal UI; runs of FormatLingering end well whatever their script did.
func runScript(ctx workflow.Context, in step.ScriptRun, format step.Format) (step.Result, error) {
	name := "script **" + in.Plan.Step + "** of channel `" + in.Channel + "`"
	workflow.SetCurrentDetails(ctx, name+" runs")
	in.Started = workflow.GetInfo(ctx).WorkflowStartTime
	var result step.ScriptResult
	attempt := step.ScriptAttempt{NotBegun: true}
	if format >= step.FormatScriptAttempt {
		attempt = attemptScript(ctx, in)
		in.Once = attempt.Unclear
	}
	if result = attempt.ScriptResult; attempt.NotBegun {
		coding := workflow.WithActivityOptions(ctx, scriptOptions(in, workflow.Now(ctx)))
		if err := workflow.ExecuteActivity(coding, step.ActivityScript, in).Get(ctx, &result); err != nil {
			result = step.ScriptResult{Fault: codeFault(err), NotRun: true}
		}
	}
	if f := result.Fault; f != nil && f.Kind == fault.OutcomeUnknown {
		result.NotRun = true
	}
	done := step.Result{Outcome: schemas.OutcomeSuccess, Attempts: 1, Script: &result}
	if f := result.Fault; f != nil {
		done.Outcome, done.Error = schemas.OutcomeFailure, string(f.Kind)
		upsertAttributes(ctx, stepAttributes(in.Plan.Step, string(done.Outcome))...)
	}
	workflow.SetCurrentDetails(ctx, name+": "+string(done.Outcome)+" "+done.Error)
	if result.Fault == nil || format == step.FormatLingering {
		return done, nil
	}
	return done, temporal.NewApplicationErrorWithOptions(result.Fault.Message, done.Error,
		temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{done}})
}

// attemptScript has a code worker run a script, within the workflow's task. What was not begun is an activity's to run. A
// local activity that failed may have begun the script.
func attemptScript(ctx workflow.Context, in step.ScriptRun) (attempt step.ScriptAttempt) {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: in.Timeout.D() + codeSlack,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             scriptSummary(in),
	})
	if err := workflow.ExecuteLocalActivity(local, step.ActivityAttemptScript, in).Get(local, &attempt); err != nil {
		return step.ScriptAttempt{NotBegun: true, Unclear: true}
	}
	return attempt
}

func scriptSummary(in step.ScriptRun) string { return in.Plan.Step + ": " + in.Plan.Code.File }

// scriptOptions returns the options of the activity that runs a channel's script. A script for which no caller waits is
// tried until it begins, for as long as its run may take: an overload, and an outage of code workers or of Temporal, delay
// it only.
func scriptOptions(in step.ScriptRun, now time.Time) workflow.ActivityOptions {
	o := codeOptions(in.Timeout.D(), scriptSummary(in))
	if !in.Async {
		return o
	}
	o.TaskQueue, o.Priority = step.QueueCodeAsync, temporal.Priority{FairnessKey: in.Plan.Tenant}
	o.ScheduleToStartTimeout = 0
	o.ScheduleToCloseTimeout = max(in.Started.Add(step.AsyncWithin).Sub(now), o.StartToCloseTimeout)
	o.RetryPolicy.MaximumAttempts, o.RetryPolicy.MaximumInterval = 0, asyncPause
	return o
}

// onCodeQueue makes the next activity one that runs a script for at most a time.
func onCodeQueue(ctx workflow.Context, timeout time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, codeOptions(timeout, summary))
}

func codeOptions(timeout time.Duration, summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue:              step.QueueCode,
		ScheduleToStartTimeout: codeWait,
		StartToCloseTimeout:    timeout + codeSlack,
		HeartbeatTimeout:       codeHeartbeat,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumAttempts: codeTries,
			NonRetryableErrorTypes: []string{"TemporalTimeout:StartToClose"},
		},
		Summary: summary,
	}
}

// mayHaveBegun reports whether an earlier try of the activity may have begun with the script: its worker was lost, and the
// later try that would have found the script found no worker.
func mayHaveBegun(timeout *temporal.TimeoutError) bool {
	var p step.Progress
	return timeout.HasLastHeartbeatDetails() && (timeout.LastHeartbeatDetails(&p) != nil || !p.NotBegun)
}

// codeFault names why the activity of a code step gave no result.
func codeFault(err error) *fault.Fault {
	var timeout *temporal.TimeoutError
	var app *temporal.ApplicationError
	switch {
	case temporal.IsCanceledError(err):
		return fault.New(fault.Cancelled, "the step was cancelled")
	case errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START && !mayHaveBegun(timeout):
		return fault.New(fault.SandboxUnavailable,
			"no worker took the code step within %s: does one run with --task-queues %s?", codeWait, step.QueueCode)
	case errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE &&
		!mayHaveBegun(timeout):
		return fault.New(fault.SandboxUnavailable,
			"the script did not begin within %s: are there enough workers with --task-queues %s?", step.AsyncWithin, step.QueueCode)
	case errors.As(err, &timeout):
		return fault.New(fault.OutcomeUnknown, "the worker was lost while the script ran: look whether it had its effect")
	case errors.As(err, &app) && fault.Kind(app.Type()).Known():
		return fault.New(fault.Kind(app.Type()), "%s", app.Message())
	}
	return fault.New(fault.Internal, "the code step failed: see the worker's log")
}

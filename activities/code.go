package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Sandbox runs scripts. *sandbox.Sandbox is one.
type Sandbox interface {
	Run(ctx context.Context, j sandbox.Job) (sandbox.Result, *fault.Fault)
	// Free reports whether a job would run at once.
	Free(j sandbox.Job) bool
	// Reserve waits for a slot for a job, which its Slot is to name. Without an error, Release has to be called.
	Reserve(ctx context.Context, j sandbox.Job) (*sandbox.Slot, *fault.Fault)
}

// Scripts are the texts of the scripts that plans name. *bot.Store is one.
type Scripts interface {
	Script(id string) (string, bool)
	// Latest returns the text that the script of an earlier plan has now, false when its step does not run the file any more.
	Latest(earlier bot.Plan) (string, bool)
}

// Code runs code steps, on a task queue of its own: workers with sandboxes can be machines with fewer credentials. Of
// Activities it uses Users and Log, which are required, and Metrics and Traces.
type Code struct {
	*Activities

	Scripts Scripts
	Sandbox Sandbox
	Host    Host
	// Attempts handles the first attempts at scripts of channels, whose Runner is this Code; nil: there are none.
	Attempts *codeworker.Server
	// ScriptWait bounds the wait for a script that this worker does not have yet; 0 = 10 s.
	ScriptWait time.Duration

	codeRuns   flight.Group[scriptEnd[step.CodeResult]]
	scriptRuns flight.Group[scriptEnd[step.ScriptResult]]
}

// Host serves the functions of hookturn that a script can call. *scripthost.Host is one.
type Host interface {
	Handler(r scripthost.Run) http.Handler
}

// Register registers the activities under their contract names.
func (c *Code) Register(r worker.ActivityRegistry) {
	r.RegisterActivityWithOptions(c.RunCode, activity.RegisterOptions{Name: step.ActivityCode})
	r.RegisterActivityWithOptions(c.RunScript, activity.RegisterOptions{Name: step.ActivityScript})
}

// RunCode runs the script of a code step once. That the script failed is a result, with what it wrote, for its builder to
// see. An error is always sandbox_unavailable, or internal: the script did not begin, and the server may try again; or it is
// outcome_unknown: the script may have begun in a worker that was lost, and it is not run again.
func (c *Code) RunCode(ctx context.Context, in step.WebhookInput) (step.CodeResult, error) {
	key := flight.KeyOf(ctx, in.Plan.Tenant, in.Event.Subject, in.Event.ID, 1)
	return onceByHeartbeat(ctx, c, &c.codeRuns, key, func(ctx context.Context) (step.CodeResult, error) {
		return c.runCode(ctx, in)
	})
}

func (c *Code) runCode(ctx context.Context, in step.WebhookInput) (step.CodeResult, error) {
	script, err := c.textOf(ctx, in.Plan)
	if err != nil {
		return step.CodeResult{}, err
	}
	if f := c.readUserDetails(ctx, in, &in.Progress); f != nil {
		return step.CodeResult{}, retryable(f)
	}
	body, err := haptik.New().Encode(contextOf(in, in.Progress))
	if err != nil {
		return step.CodeResult{}, nonRetryable(err)
	}
	span := c.Traces.Script(spanOf(in), in.Plan.Code.File)
	attempt := schemas.Attempt{N: 1, Started: time.Now().UTC(), URL: "script:" + in.Plan.Code.File}
	r, f, err := c.sandboxed(ctx, in.Plan, "", sandbox.Job{
		EventID: in.Event.AskedID(), TraceID: in.TraceID(), Script: script, Body: string(body.Body),
		Timeout: in.Plan.Code.Timeout.D(),
	})
	if err != nil {
		return step.CodeResult{}, err
	}
	result := step.CodeResult{Log: r.Log}
	if f == nil {
		result.WebhookResult, f = c.read(ctx, in, r.Value)
	}
	attempt.TotalMs, attempt.Bytes = float64(time.Since(attempt.Started).Microseconds())/1000, int64(len(r.Value))
	if f != nil {
		attempt.Error = string(f.Kind)
		c.Log.InfoContext(ctx, "code step failed", "workflow", activity.GetInfo(ctx).WorkflowExecution.ID, "event", in.Event.ID,
			"step", in.Plan.Step, "script", in.Plan.Code.File, "kind", f.Kind)
	}
	span.End(attempt.Error)
	result.Fault, result.Attempts = f, []schemas.Attempt{attempt}
	c.recordAttempt(ctx, in, attempt)
	return result, nil
}

const (
	scriptWait = 10 * time.Second // within the slack that the activity has (see workflows)
	scriptPoll = 100 * time.Millisecond
	// acceptedWait is how long after the start of its run a script for which no caller waits is tried as its plan has it:
	// new bot files reach all workers within that time.
	acceptedWait = 2 * time.Minute
)

// textOf returns the text of a plan's script. The starter may have loaded a new bot file before this worker does: then the
// script comes soon. Or the plan is older than this process: its step has waited for entities since before a restart with
// another script, which no worker has any more. The step's script as it is now is what its builder wants then.
func (c *Code) textOf(ctx context.Context, p bot.Plan) (string, error) {
	if script, known := c.Scripts.Script(p.Code.Script); known {
		return script, nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.ScriptWait, scriptWait))
	defer cancel()
	tick := time.NewTicker(scriptPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.latestText(ctx, p)
		case <-tick.C:
			if script, known := c.Scripts.Script(p.Code.Script); known {
				return script, nil
			}
		}
	}
}

// textOfRun returns the text of the script of a channel. For one for which no caller waits it does not wait: the server
// tries the activity again, and those whose text does not come would take the places of the others.
func (c *Code) textOfRun(ctx context.Context, run step.ScriptRun) (string, error) {
	if !run.Async {
		return c.textOf(ctx, run.Plan)
	}
	if script, known := c.Scripts.Script(run.Plan.Code.Script); known {
		return script, nil
	}
	if time.Since(run.Started) < acceptedWait {
		return "", scriptNotFound(run.Plan)
	}
	return c.latestText(ctx, run.Plan)
}

// latestText returns the text that a script has now in place of the one of its plan, which this worker does not have.
func (c *Code) latestText(ctx context.Context, p bot.Plan) (string, error) {
	script, known := c.Scripts.Latest(p)
	if !known {
		return "", scriptNotFound(p)
	}
	c.Log.WarnContext(ctx, "script of an earlier bot file not found, running the present one", "tenant", p.Tenant,
		"bot", p.Bot, "step", p.Step, "script", p.Code.File)
	return script, nil
}

func scriptNotFound(p bot.Plan) error {
	return retryable(fault.New(fault.Config,
		"script %s is not among this worker's bot files: are they up to date?", p.Code.File))
}

// sandboxed runs a plan's job, for a channel or for none (""), in a sandbox. An error means that the script did not begin;
// how it ended is the fault.
func (c *Code) sandboxed(
	ctx context.Context, p bot.Plan, channel string, j sandbox.Job,
) (sandbox.Result, *fault.Fault, error) {
	j.BotID, j.Step, j.Connections = p.BotID, p.Step, p.Code.Connections
	j.Packages = scripthost.WheelsOf(p.Code)
	j.Host = c.Host.Handler(scripthost.Run{
		BotID: p.BotID, Step: p.Step, Revision: p.Revision, EventID: j.EventID, TraceID: j.TraceID, Channel: channel,
		Connections: j.Connections, Until: time.Now().Add(j.Timeout),
	})
	r, f := c.Sandbox.Run(ctx, j)
	if f != nil && !r.Sent && (f.Kind == fault.SandboxUnavailable || f.Kind == fault.Config) {
		return r, nil, retryable(f)
	}
	return r, f, nil
}

// returned is what main returns (contract, section 4.6).
type returned struct {
	StatusCode *json.Number    `json:"statusCode"`
	Body       json.RawMessage `json:"body"`
}

// read decodes what main returned and keeps the user's details that it changed.
func (c *Code) read(ctx context.Context, in step.WebhookInput, value []byte) (step.WebhookResult, *fault.Fault) {
	var r returned
	if err := json.Unmarshal(value, &r); err != nil || r.StatusCode == nil {
		return step.WebhookResult{}, fault.New(fault.ScriptBadResponse,
			`main must return {"statusCode": 200, "headers": {…}, "body": "<JSON text>"}`)
	}
	if r.StatusCode.String() != "200" {
		return step.WebhookResult{}, fault.New(fault.ScriptBadResponse, "main returned a statusCode other than 200")
	}
	var body string
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return step.WebhookResult{}, fault.New(fault.ScriptBadResponse, "body must be a string that holds JSON: use json.dumps")
	}
	answer, err := haptik.DecodeCode(contextOf(in, in.Progress), []byte(body))
	if err == nil {
		err = answer.CheckSize()
	}
	if err != nil {
		return step.WebhookResult{}, fault.Of(err)
	}
	result := step.WebhookResult{Answer: answer}
	k := &call{
		Activities: c.Activities, in: in, dialect: haptik.New(), progress: in.Progress,
		clock: clock{began: time.Now(), had: step.KeepTimeout},
	}
	k.keepUserDetails(ctx, &result)
	return result, nil
}

// retryable returns an error after which the server may try once more: nothing has happened yet.
func retryable(f *fault.Fault) error {
	return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Kind), temporal.ApplicationErrorOptions{
		Category: temporal.ApplicationErrorCategoryBenign,
	})
}

var _ Scripts = (*bot.Store)(nil)

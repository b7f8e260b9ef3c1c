package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// RunScript runs the script of a channel once, by the rules of RunCode.
func (c *Code) RunScript(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	key := flight.KeyOf(ctx, in.Plan.Tenant, "", in.ID, 1)
	slot, err := c.reserve(ctx, key, in)
	if err != nil {
		return step.ScriptResult{}, err
	}
	defer slot.Release()
	return onceByHeartbeat(ctx, c, &c.scriptRuns, key, func(ctx context.Context) (step.ScriptResult, error) {
		if !in.Once {
			return c.runIn(ctx, slot, in)
		}
		switch result, f := c.Attempts.Begun(ctx, in); {
		case f != nil:
			return step.ScriptResult{}, retryable(f)
		case result != nil:
			return *result, nil
		}
		return c.runIn(ctx, slot, in)
	})
}

// reserveTimeout is how long a script waits for a slot of the sandbox before its heartbeat. The server counts a worker
// without heartbeats as lost after 10 s.
const reserveTimeout = 5 * time.Second

// reserve waits for the slot of a script for which no caller waits, unless it may have begun. It waits before the heartbeat
// that reports the script as begun: a worker takes more of them than run, and when it is lost, those that waited can run.
func (c *Code) reserve(ctx context.Context, key flight.Key, in step.ScriptRun) (*sandbox.Slot, error) {
	if !in.Async || c.scriptRuns.Find(key) != nil || mayHaveBegun(ctx) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	slot, f := c.Sandbox.Reserve(ctx, sandbox.Job{BotID: in.Plan.BotID, Async: true})
	if f != nil {
		return nil, retryable(f)
	}
	return slot, nil
}

// RunBare runs the script of a channel once, outside of Temporal: it is not repeated, whatever becomes of it. A script that
// could not begin is a fault of the kind that RunScript's error has.
func (c *Code) RunBare(ctx context.Context, in step.ScriptRun) step.ScriptResult {
	ctx = telemetry.WithTrace(ctx, in)
	result, err := c.Run(ctx, in)
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return step.ScriptResult{Fault: fault.New(fault.Kind(app.Type()), "%s", app.Message())}
	}
	if err != nil {
		c.Log.ErrorContext(ctx, "running channel script failed", "channel", in.Channel, "request", in.ID, "error", err)
		return step.ScriptResult{Fault: fault.New(fault.Internal, "the script was not run: see the worker's log")}
	}
	return result
}

// Ready reports whether the script of a channel would begin at once.
func (c *Code) Ready(in step.ScriptRun) bool {
	_, known := c.Scripts.Script(in.Plan.Code.Script)
	return known && c.Sandbox.Free(sandbox.Job{BotID: in.Plan.BotID, Async: in.Async})
}

// Run runs the script of a channel. An error means that the script did not begin: it may be run again.
func (c *Code) Run(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	return c.runIn(ctx, nil, in)
}

// runIn is Run in a slot that the script has; nil: it waits for one.
func (c *Code) runIn(ctx context.Context, slot *sandbox.Slot, in step.ScriptRun) (step.ScriptResult, error) {
	script, err := c.textOfRun(ctx, in)
	if err != nil {
		return step.ScriptResult{}, err
	}
	span := c.Traces.Script(telemetry.StepSpan{BotID: in.Plan.BotID, Step: in.Plan.Step, TraceID: in.TraceID()},
		in.Plan.Code.File)
	began := time.Now()
	r, f, err := c.sandboxed(ctx, in.Plan, in.Channel, sandbox.Job{
		EventID: in.ID, TraceID: in.TraceID(), Script: script, Body: string(in.Body), Timeout: in.Timeout.D(),
		Async: in.Async, Slot: slot, Event: in.Event, Params: in.Params, BodyParam: in.BodyParam,
		BodyData: in.BodyData,
	})
	if err != nil {
		return step.ScriptResult{}, err
	}
	result := "ok"
	if f != nil {
		result = string(f.Kind)
		c.Log.InfoContext(ctx, "channel script failed", "workflow", flight.WorkflowOf(ctx),
			"channel", in.Channel, "request", in.ID, "script", in.Plan.Code.File, "kind", f.Kind)
	}
	if f != nil {
		span.End(result)
	} else {
		span.End("")
	}
	c.Metrics.Attempt(in.Plan.BotID, in.Plan.Step, result, time.Since(began), "")
	return step.ScriptResult{Value: r.Value, Fault: f, Log: r.Log}, nil
}

var _ codeworker.Runner = (*Code)(nil)

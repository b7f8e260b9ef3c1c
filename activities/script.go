package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
)

// RunScript runs the script of a channel once, by the rules of RunCode.
func (c *Code) RunScript(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	script, known := c.Scripts.Script(in.Plan.Code.Script)
	if !known {
		return step.ScriptResult{}, final(fault.New(fault.Config,
			"script %s is not among this worker's bot files: are they up to date?", in.Plan.Code.File))
	}
	stop := heartbeat(ctx, step.Progress{})
	defer stop()
	began := time.Now()
	r, f := c.Sandbox.Run(ctx, sandbox.Job{
		Tenant: in.Plan.Tenant, Bot: in.Plan.Bot, Step: in.Plan.Step, EventID: in.ID, Script: script, Body: string(in.Body),
		Timeout: in.Timeout.D(), Event: in.Event, Params: in.Params, BodyParam: in.BodyParam,
		Host: c.Host.For(scripthost.Run{
			Tenant: in.Plan.Tenant, Bot: in.Plan.Bot, Step: in.Plan.Step, EventID: in.ID, Channel: in.Channel,
			Until: time.Now().Add(in.Timeout.D()),
		}),
	})
	if f != nil && !r.Sent && f.Kind == fault.SandboxUnavailable {
		return step.ScriptResult{}, again(f)
	}
	result := "ok"
	if f != nil {
		result = string(f.Kind)
		c.Log.InfoContext(ctx, "channel script failed", "workflow", activity.GetInfo(ctx).WorkflowExecution.ID,
			"channel", in.Channel, "request", in.ID, "script", in.Plan.Code.File, "kind", f.Kind)
	}
	c.Metrics.Attempt(in.Plan.Tenant, in.Plan.Bot, in.Plan.Step, result, time.Since(began))
	return step.ScriptResult{Value: r.Value, Fault: f, Log: r.Log}, nil
}

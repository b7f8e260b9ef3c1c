package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// RunScript runs the script of a channel once, by the rules of RunCode.
func (c *Code) RunScript(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	return once(ctx, c, &c.runsOfChannels, "", in.ID, func(ctx context.Context) (step.ScriptResult, error) {
		return c.runScript(ctx, in)
	})
}

func (c *Code) runScript(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	script, err := c.script(ctx, in.Plan)
	if err != nil {
		return step.ScriptResult{}, err
	}
	span := c.Traces.Script(telemetry.StepSpan{BotID: in.Plan.BotID, Step: in.Plan.Step}, in.Plan.Code.File)
	began := time.Now()
	r, f, err := c.run(ctx, in.Plan, in.Channel, sandbox.Job{
		EventID: in.ID, Script: script, Body: string(in.Body), Timeout: in.Timeout.D(), Event: in.Event, Params: in.Params,
		BodyParam: in.BodyParam,
	})
	if err != nil {
		return step.ScriptResult{}, err
	}
	result := "ok"
	if f != nil {
		result = string(f.Kind)
		c.Log.InfoContext(ctx, "channel script failed", "workflow", activity.GetInfo(ctx).WorkflowExecution.ID,
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

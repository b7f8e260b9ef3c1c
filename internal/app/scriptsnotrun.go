package app

import (
	"context"
	"errors"
	"log/slog"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// scriptsNotRun reports runs of scripts for which no caller waits and that end without their script having run: the caller
// was answered that the script was accepted, and learns nothing more.
type scriptsNotRun struct {
	interceptor.WorkerInterceptorBase

	log     *slog.Logger
	metrics *telemetry.Metrics // nil: nothing is counted
}

// InterceptWorkflow returns the interceptor of one run.
func (s *scriptsNotRun) InterceptWorkflow(
	_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	return &scriptEnds{interceptor.WorkflowInboundInterceptorBase{Next: next}, s}
}

// scriptEnds sees how one run ends.
type scriptEnds struct {
	interceptor.WorkflowInboundInterceptorBase

	to *scriptsNotRun
}

// ExecuteWorkflow runs the workflow. A run that is replayed was reported before.
func (e *scriptEnds) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	result, err := e.Next.ExecuteWorkflow(ctx, in)
	if len(in.Args) == 1 && !workflow.IsReplaying(ctx) {
		if request, ok := in.Args[0].(step.Request); ok && request.Script != nil && request.Script.Async {
			e.to.report(workflow.GetInfo(ctx).WorkflowExecution, *request.Script, err)
		}
	}
	return result, err
}

// report reports a run whose script was not run. The error of a run that failed has the result of its script.
func (s *scriptsNotRun) report(run workflow.Execution, script step.ScriptRun, err error) {
	var done step.Result
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || !failed.HasDetails() || failed.Details(&done) != nil || done.Script == nil || !done.Script.NotRun {
		return
	}
	s.metrics.ScriptNotRun(script.Plan.BotID, done.Error)
	ctx := telemetry.WithTrace(context.Background(), script)
	s.log.WarnContext(ctx, "accepted script not run", "tenant", script.Plan.Tenant, "bot", script.Plan.Bot, "channel",
		script.Channel, "request", script.ID, "workflow", run.ID, "run_id", run.RunID, "kind", done.Error,
		"error", failed.Message(), "hint", "call /exec again once the cause is removed; the input is in the run until the "+
			"retention of the namespace ends. outcome_unknown: look first whether the script had its effect")
}

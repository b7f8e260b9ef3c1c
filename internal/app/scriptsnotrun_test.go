package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
	"github.com/hookturn/hookturn/workflows"
)

// TestScriptsNotRun: a call that was accepted and whose script did not run has a log line with what to do, and is counted.
// One whose caller waits has been answered, and a script that failed has run.
func TestScriptsNotRun(t *testing.T) {
	t.Parallel()
	lost := temporal.NewNonRetryableApplicationError("no sandbox", string(fault.SandboxUnavailable), nil)
	for name, c := range map[string]struct {
		async    bool
		failed   *fault.Fault
		err      error
		reported bool
	}{
		"accepted and not run": {async: true, err: lost, reported: true},
		"its caller waits":     {err: lost},
		"it raised":            {async: true, failed: fault.New(fault.ScriptException, "boom")},
		"it ran":               {async: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			cfg := Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: telemetry.NewMetrics()}
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			env.SetTestTimeout(time.Minute)
			env.SetWorkerOptions(worker.Options{
				Interceptors: (&Worker{fatal: newFatal()}).mainQueueOptions(cfg, nil).Interceptors, DeadlockDetectionTimeout: time.Minute,
			})
			workflows.Register(env)
			env.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptAttempt, error) {
				return step.ScriptAttempt{NotBegun: true}, nil
			}, activity.RegisterOptions{Name: step.ActivityAttemptScript})
			env.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptResult, error) {
				return step.ScriptResult{Fault: c.failed}, c.err
			}, activity.RegisterOptions{Name: step.ActivityScript})
			run := step.ScriptRun{ID: "r1", Channel: "hook", Async: c.async, Timeout: bot.Duration(time.Second), Body: []byte("private")}
			run.Plan = bot.Plan{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Step: "hook", Code: &bot.Code{File: "x.py"}}
			env.ExecuteWorkflow(step.WorkflowStep, step.Request{Script: &run, Format: step.FormatLatest})
			require.True(t, env.IsWorkflowCompleted())

			scraped := httptest.NewRecorder()
			cfg.Metrics.Handler().ServeHTTP(scraped, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			if !c.reported {
				require.Empty(t, log.String())
				require.NotContains(t, scraped.Body.String(), "hookturn_scripts_not_run_total{")
				return
			}
			for _, text := range []string{
				"level=WARN", `msg="accepted script not run"`, "tenant=acme", "bot=shop", "channel=hook", "request=r1",
				"kind=sandbox_unavailable", "hint=",
			} {
				require.Contains(t, log.String(), text)
			}
			require.NotContains(t, log.String(), "private")
			require.Contains(t, scraped.Body.String(),
				`hookturn_scripts_not_run_total{bot="shop",kind="sandbox_unavailable",tenant="acme"} 1`)
		})
	}
}

var _ interceptor.WorkerInterceptor = (*scriptsNotRun)(nil)

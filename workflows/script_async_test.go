package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// endScript executes the run of a channel's script whose first attempt finds no code worker, and returns its result and the
// tries of the activity. end ends the n-th try, from 1.
func (w *world) endScript(
	t *testing.T, run step.ScriptRun, end func(n int) (step.ScriptResult, error),
) (done step.Result, tries int) {
	t.Helper()
	w.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptAttempt, error) {
		return step.ScriptAttempt{NotBegun: true}, nil
	}, activity.RegisterOptions{Name: step.ActivityAttemptScript})
	w.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptResult, error) {
		w.mu.Lock()
		tries++
		n := tries
		w.mu.Unlock()
		return end(n)
	}, activity.RegisterOptions{Name: step.ActivityScript})
	run.ID, run.Channel, run.Timeout = "r1", "ch", bot.Duration(time.Second)
	codeStep(&run.Plan)
	w.ExecuteWorkflow(step.WorkflowStep, step.Request{Script: &run, Format: step.FormatLatest})
	require.True(t, w.IsWorkflowCompleted())
	if failed, ok := errors.AsType[*temporal.ApplicationError](w.GetWorkflowError()); ok {
		require.NoError(t, failed.Details(&done))
		return done, tries
	}
	require.NoError(t, w.GetWorkflowResult(&done))
	return done, tries
}

// TestStep_AcceptedScriptWaitsForASandbox: the caller of an asynchronous channel was answered. An overload delays its
// script, and does not end it.
func TestStep_AcceptedScriptWaitsForASandbox(t *testing.T) {
	t.Parallel()
	busy := func(n int) (step.ScriptResult, error) {
		if n < 10 { // the test environment bounds the tries to 10
			return step.ScriptResult{}, temporal.NewApplicationError("busy", string(fault.SandboxUnavailable))
		}
		return step.ScriptResult{Value: []byte(`"v"`)}, nil
	}
	w := newWorld(t)
	began := w.Now()
	done, tries := w.endScript(t, step.ScriptRun{Async: true}, busy)
	require.Equal(t, schemas.OutcomeSuccess, done.Outcome)
	require.Equal(t, 10, tries)
	require.Less(t, w.Now().Sub(began), 9*30*time.Second, "the tries come at least each half minute")

	done, tries = newWorld(t).endScript(t, step.ScriptRun{}, busy)
	require.Equal(t, string(fault.SandboxUnavailable), done.Error, "a caller who waits is answered soon")
	require.Equal(t, 3, tries)
}

// TestStep_ScriptNotRun: a result distinguishes a script that failed from one that did not run, or may not have.
func TestStep_ScriptNotRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result step.ScriptResult
		err    error
		kind   fault.Kind
		notRun bool
	}{
		"it raised":     {step.ScriptResult{Fault: fault.New(fault.ScriptException, "boom")}, nil, fault.ScriptException, false},
		"in time":       {step.ScriptResult{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil), fault.SandboxUnavailable, true},
		"lost worker":   {step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown, "lost")}, nil, fault.OutcomeUnknown, true},
		"lost activity": {step.ScriptResult{}, temporal.NewNonRetryableApplicationError("lost", string(fault.OutcomeUnknown), nil), fault.OutcomeUnknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, _ := newWorld(t).endScript(t, step.ScriptRun{Async: true}, func(int) (step.ScriptResult, error) { return c.result, c.err })
			require.Equal(t, string(c.kind), done.Error)
			require.Equal(t, c.notRun, done.Script.NotRun)
		})
	}
}

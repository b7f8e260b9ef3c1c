package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// runScript runs the script of a channel, whose first attempt ends as the test asks. It returns what the activity got, nil
// when there was none.
func (w *world) runScript(
	t *testing.T, format step.Format, first func() (step.ScriptAttempt, error),
) (done step.Result, scheduled *step.ScriptRun) {
	t.Helper()
	w.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptAttempt, error) { return first() },
		activity.RegisterOptions{Name: step.ActivityAttemptScript})
	w.RegisterActivityWithOptions(func(_ context.Context, in step.ScriptRun) (step.ScriptResult, error) {
		scheduled = &in
		return step.ScriptResult{Value: []byte(`"activity"`)}, nil
	}, activity.RegisterOptions{Name: step.ActivityScript})
	run := step.ScriptRun{ID: "r1", Channel: "ch", Timeout: bot.Duration(time.Second)}
	codeStep(&run.Plan)
	w.ExecuteWorkflow(step.WorkflowStep, step.Request{Script: &run, Format: format})
	require.True(t, w.IsWorkflowCompleted())
	if w.GetWorkflowError() == nil {
		require.NoError(t, w.GetWorkflowResult(&done))
	}
	return done, scheduled
}

func TestStep_FirstAttemptEndsTheScript(t *testing.T) {
	t.Parallel()
	done, scheduled := newWorld(t).runScript(t, step.FormatScriptAttempt, func() (step.ScriptAttempt, error) {
		return step.ScriptAttempt{ScriptResult: step.ScriptResult{Value: []byte(`"first"`), Log: "for the builder"}}, nil
	})
	require.Nil(t, scheduled)
	require.Equal(t, schemas.OutcomeSuccess, done.Outcome)
	require.Equal(t, step.ScriptResult{Value: []byte(`"first"`), Log: "for the builder"}, *done.Script)

	w := newWorld(t)
	_, scheduled = w.runScript(t, step.FormatScriptAttempt, func() (step.ScriptAttempt, error) {
		return step.ScriptAttempt{ScriptResult: step.ScriptResult{Fault: fault.New(fault.ScriptException, "boom")}}, nil
	})
	require.Nil(t, scheduled, "a script that failed is not run again")
	var ended *temporal.ApplicationError
	require.ErrorAs(t, w.GetWorkflowError(), &ended)
	require.Equal(t, string(fault.ScriptException), ended.Type())
}

// TestStep_ScriptNotBegunIsAnActivity: and the activity learns whether another attempt may have begun the script.
func TestStep_ScriptNotBegunIsAnActivity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempt step.ScriptAttempt
		err     error
		once    bool
	}{
		"not begun": {attempt: step.ScriptAttempt{NotBegun: true}},
		"unclear":   {attempt: step.ScriptAttempt{NotBegun: true, Unclear: true}, once: true},
		"failed":    {err: errors.New("panic"), once: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, scheduled := newWorld(t).runScript(t, step.FormatScriptAttempt, func() (step.ScriptAttempt, error) {
				return c.attempt, c.err
			})
			require.NotNil(t, scheduled)
			require.Equal(t, c.once, scheduled.Once)
			require.False(t, scheduled.Started.IsZero(), "claims that are older than the run are of no use")
			require.Equal(t, `"activity"`, string(done.Script.Value))
		})
	}
}

func TestStep_EarlierFormatsHaveNoFirstAttempt(t *testing.T) {
	t.Parallel()
	for format := range step.FormatScriptAttempt {
		_, scheduled := newWorld(t).runScript(t, format, func() (step.ScriptAttempt, error) {
			t.Error("a first attempt was made")
			return step.ScriptAttempt{}, nil
		})
		require.NotNil(t, scheduled)
		require.False(t, scheduled.Once)
	}
}

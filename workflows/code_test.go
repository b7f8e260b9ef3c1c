package workflows_test

import (
	"context"
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

// codeStep makes a plan one of a code step.
func codeStep(p *bot.Plan) {
	p.Webhook = nil
	p.Code = &bot.Code{File: "x.py", Script: "id", Timeout: bot.Duration(5 * time.Second)}
}

// runs lets the world's scripts end as the test asks, and counts them.
func (w *world) runs(end func(n int, in step.WebhookInput) (step.CodeResult, error)) *int {
	count := new(int)
	w.RegisterActivityWithOptions(func(_ context.Context, in step.WebhookInput) (step.CodeResult, error) {
		w.mu.Lock()
		*count++
		n := *count
		w.mu.Unlock()
		return end(n, in)
	}, activity.RegisterOptions{Name: step.ActivityCode})
	return count
}

func TestCode_Answers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runs(func(_ int, in step.WebhookInput) (step.CodeResult, error) {
		r := step.CodeResult{Log: "for the builder"}
		r.Success, r.Messages = true, []schemas.Message{schemas.Text(in.Plan.Code.File)}
		r.ConversationDetails, r.Output = []byte(`{"a":1}`), []byte(`{"b":2}`)
		r.Attempts = []schemas.Attempt{{N: 1}}
		return r, nil
	})
	w.send(time.Second, requested("e1", plan(codeStep)))
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeSuccess, r.Outcome)
	require.Equal(t, "x.py", r.Messages[0].Text)
	require.JSONEq(t, `{"a":1}`, string(r.ConversationDetails))
	require.JSONEq(t, `{"b":2}`, string(r.Output))
	require.Len(t, r.Attempts, 1)
	require.Empty(t, w.calls)
}

func TestCode_FailedScriptIsABotBreak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runs := w.runs(func(int, step.WebhookInput) (step.CodeResult, error) {
		return step.CodeResult{
			Fault:         fault.New(fault.ScriptException, "KeyError: 'x'"),
			WebhookResult: step.WebhookResult{Attempts: []schemas.Attempt{{N: 1, Error: "script_exception"}}},
		}, nil
	})
	w.send(time.Second, requested("e1", plan(codeStep)))
	w.converse(t, newState())
	r := w.replied(t, 0)
	require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
	require.Equal(t, "script_exception", r.Error.Kind)
	require.Len(t, r.Attempts, 1)
	require.Equal(t, 1, *runs)
}

func TestCode_SandboxUnavailableIsTriedAgain(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]schemas.Outcome{2: schemas.OutcomeSuccess, 5: schemas.OutcomeBotBreak} {
		w := newWorld(t)
		runs := w.runs(func(n int, _ step.WebhookInput) (step.CodeResult, error) {
			if n < tries {
				return step.CodeResult{}, temporal.NewApplicationError("no sandbox", string(fault.SandboxUnavailable))
			}
			var r step.CodeResult
			r.Success = true
			return r, nil
		})
		w.send(time.Second, requested("e1", plan(codeStep)))
		w.converse(t, newState())
		r := w.replied(t, 0)
		require.Equal(t, want, r.Outcome)
		require.Equal(t, min(tries, 3), *runs)
		if want == schemas.OutcomeBotBreak {
			require.Equal(t, "sandbox_unavailable", r.Error.Kind)
		}
	}
}

// TestCode_WorkerLost ends the activity as the server does when its worker is gone. That the server does not try again is seen
// on a real one, in devstack/e2e: the test environment knows no NonRetryableErrorTypes for timeouts.
func TestCode_WorkerLost(t *testing.T) {
	t.Parallel()
	for kind, want := range map[enumspb.TimeoutType]fault.Kind{
		enumspb.TIMEOUT_TYPE_HEARTBEAT: fault.OutcomeUnknown, enumspb.TIMEOUT_TYPE_START_TO_CLOSE: fault.OutcomeUnknown,
		enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: fault.SandboxUnavailable,
	} {
		w := newWorld(t)
		w.runs(func(int, step.WebhookInput) (step.CodeResult, error) {
			if want == fault.OutcomeUnknown {
				return step.CodeResult{}, temporal.NewTimeoutError(kind, nil, step.Progress{Running: &schemas.Attempt{N: 1}})
			}
			return step.CodeResult{}, temporal.NewTimeoutError(kind, nil)
		})
		w.send(time.Second, requested("e1", plan(codeStep)))
		w.converse(t, newState())
		r := w.replied(t, 0)
		require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
		require.Equal(t, string(want), r.Error.Kind, kind)
		require.Equal(t, want == fault.OutcomeUnknown, len(r.Attempts) == 1, "the script may have had its effect")
	}
}

// TestStep_FailedScriptFailsRun: the list of runs shows it as failed, and the caller still reads how it ended.
func TestStep_FailedScriptFailsRun(t *testing.T) {
	t.Parallel()
	for _, format := range []step.Format{step.FormatLingering, step.FormatLatest} {
		w := newWorld(t)
		failed := step.ScriptResult{Fault: fault.New(fault.ScriptException, "KeyError: 'x'"), Log: "before"}
		w.RegisterActivityWithOptions(func(context.Context, step.ScriptRun) (step.ScriptResult, error) { return failed, nil },
			activity.RegisterOptions{Name: step.ActivityScript})
		run := step.ScriptRun{ID: "r1", Channel: "ch", Timeout: bot.Duration(time.Second)}
		codeStep(&run.Plan)
		w.ExecuteWorkflow(step.WorkflowStep, step.Request{Script: &run, Format: format})
		var got step.Result
		if format == step.FormatLingering {
			require.NoError(t, w.GetWorkflowError())
			require.NoError(t, w.GetWorkflowResult(&got))
		} else {
			var ended *temporal.ApplicationError
			require.ErrorAs(t, w.GetWorkflowError(), &ended)
			require.Equal(t, string(fault.ScriptException), ended.Type())
			require.NoError(t, ended.Details(&got))
		}
		require.Equal(t, schemas.OutcomeFailure, got.Outcome)
		require.Equal(t, failed, *got.Script)
	}
}

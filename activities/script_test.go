package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// claims is a bucket of claims.
type claims struct {
	holder string // of the script; "" = none
	broken error
}

func (c *claims) Claim(_ context.Context, _ schemas.BotID, _, worker string) (string, bool, error) {
	if c.broken != nil {
		return "", false, c.broken
	}
	created := c.holder == ""
	if created {
		c.holder = worker
	}
	return c.holder, created, nil
}

func (c *claims) Pass(_ context.Context, _ schemas.BotID, _, holder string) error {
	c.holder = holder
	return c.broken
}

func (c *claims) Since(context.Context) (time.Time, error) { return time.Time{}, c.broken }

// codeWorker returns a new code worker with a sandbox. No other receives its requests.
func codeWorker(name string, c *claims, s *scripts) *activities.Code {
	log := slog.New(slog.DiscardHandler)
	none := &codeWorkers{answer: func(int, step.ScriptRequest) (step.ScriptAttempt, error) {
		return step.ScriptAttempt{}, fault.New(fault.SandboxUnavailable, "none")
	}}
	code := &activities.Code{Activities: &activities.Activities{Log: log}, Scripts: s, Sandbox: s, Host: &scripthost.Host{}}
	code.Attempts = &codeworker.Server{
		Name: name, Claims: c, Runner: code, Peers: clientOf(none), Log: log,
	}
	return code
}

// TestCode_Ready: a script begins at once where its text is known and a sandbox is free.
func TestCode_Ready(t *testing.T) {
	t.Parallel()
	run, unknown := scriptRun(), scriptRun()
	unknown.Plan.Code.Script = "lost"
	require.True(t, codeWorker("a", nil, &scripts{}).Ready(run))
	require.False(t, codeWorker("a", nil, &scripts{full: true}).Ready(run))
	require.False(t, codeWorker("a", nil, &scripts{}).Ready(unknown))
	busy := codeWorker("a", nil, &scripts{fullAsync: true})
	require.True(t, busy.Ready(run))
	run.Async = true
	require.False(t, busy.Ready(run))
}

// TestCode_Run: a sandbox that fails did not begin the script, one that ends with a fault did.
func TestCode_Run(t *testing.T) {
	t.Parallel()
	s := &scripts{fault: fault.New(fault.SandboxUnavailable, "none")}
	_, err := codeWorker("a", nil, s).Run(t.Context(), scriptRun())
	require.Error(t, err)
	require.Len(t, s.jobs, 1)
	s.result = sandbox.Result{Sent: true}
	result, err := codeWorker("a", nil, s).Run(t.Context(), scriptRun())
	require.NoError(t, err)
	require.Equal(t, fault.SandboxUnavailable, result.Fault.Kind)
	async := scriptRun()
	async.Async, async.BodyParam, async.BodyData = true, 3, true
	_, err = codeWorker("a", nil, s).Run(t.Context(), async)
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true}, []bool{s.jobs[0].Async, s.jobs[1].Async, s.jobs[2].Async})
	require.Equal(t, []bool{false, false, true}, []bool{s.jobs[0].BodyData, s.jobs[1].BodyData, s.jobs[2].BodyData})
	require.Equal(t, 3, s.jobs[2].BodyParam)
}

// TestCode_RunAcceptedWithoutItsText: a call was accepted, and the code workers were restarted with another script before
// its turn. It takes no place to wait, and runs the present script once the bot files of all workers must be there.
func TestCode_RunAcceptedWithoutItsText(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	end() // a wait would have ended with the present script
	var app *temporal.ApplicationError
	s, run := &scripts{result: returns(`"v"`)}, scriptRun()
	run.Async, run.Plan.Code.Script, run.Started = true, "lost", time.Now()
	_, err := codeWorker("a", nil, s).Run(ctx, run)
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Equal(t, string(fault.Config), app.Type())
	require.Empty(t, s.jobs)

	run.Started = time.Now().Add(-3 * time.Minute)
	_, err = codeWorker("a", nil, s).Run(ctx, run)
	require.NoError(t, err)
	require.Equal(t, "the present text", s.jobs[0].Script)

	s.gone = true
	_, err = codeWorker("a", nil, s).Run(ctx, run)
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(fault.Config), app.Type())
	require.Len(t, s.jobs, 1)
}

// runOnce runs the activity of a script that a first attempt may have begun.
func (b *bundle) runOnce(t *testing.T, code *activities.Code) (result step.ScriptResult, err error) {
	t.Helper()
	in := scriptRun()
	in.Once = true
	return b.runScript(t, code, in)
}

// runScript runs the activity of a script.
func (b *bundle) runScript(t *testing.T, code *activities.Code, in step.ScriptRun) (result step.ScriptResult, err error) {
	t.Helper()
	code.Heartbeat = b.heartbeat
	code.Register(b.TestActivityEnvironment)
	value, err := b.ExecuteActivity(step.ActivityScript, in)
	if err == nil {
		require.NoError(t, value.Get(&result))
	}
	return result, err
}

// TestRunScript_Once: the activity begins the script when no code worker has, takes the result of the one that has, and does
// neither when that one is lost.
func TestRunScript_Once(t *testing.T) {
	t.Parallel()
	c, s := &claims{}, &scripts{result: returns(`"v"`)}
	want := step.ScriptResult{Value: []byte(`"v"`), Log: "said"}
	code := codeWorker("a", c, s)
	for range 2 {
		result, err := setup(t).runOnce(t, code)
		require.NoError(t, err)
		require.Equal(t, want, result)
	}
	require.Len(t, s.jobs, 1)
	require.Equal(t, "activity", c.holder, "no first attempt begins it any more")

	c.holder = "lost"
	result, err := setup(t).runOnce(t, codeWorker("b", c, s))
	require.NoError(t, err)
	require.Equal(t, fault.OutcomeUnknown, result.Fault.Kind)
	require.Len(t, s.jobs, 1)

	c.holder, s.result, s.fault = "", sandbox.Result{}, fault.New(fault.SandboxUnavailable, "none")
	_, err = setup(t).runOnce(t, codeWorker("c", c, s))
	require.Error(t, err)
	s.result, s.fault = returns(`"v"`), nil
	result, err = setup(t).runOnce(t, codeWorker("d", c, s))
	require.NoError(t, err)
	require.Equal(t, want, result, "the next try may be that of another worker")

	c.broken = errors.New("away")
	_, err = setup(t).runOnce(t, codeWorker("e", c, s))
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable(), "the claims may be back soon")
	require.Equal(t, string(fault.OutcomeUnknown), app.Type())
}

// TestRunScript_AcceptedWaitsBeforeItsHeartbeat: the server must not take a script that waits for a slot for one that runs,
// or the loss of its worker would end it.
func TestRunScript_AcceptedWaitsBeforeItsHeartbeat(t *testing.T) {
	t.Parallel()
	s, run := &scripts{result: returns(`"v"`)}, scriptRun()
	run.Async = true
	b := setup(t)
	_, err := b.runScript(t, codeWorker("a", nil, s), run)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Equal(t, string(fault.SandboxUnavailable), app.Type())
	require.Empty(t, b.beats)
	require.Empty(t, s.jobs)
	require.Equal(t, []sandbox.Job{{BotID: run.Plan.BotID, Async: true}}, s.slots)

	freed := 0
	s.slot = sandbox.NewSlot(func() { freed++ })
	b = setup(t)
	b.beat = func(int) error { return errors.New("away") }
	_, err = b.runScript(t, codeWorker("a", nil, s), run)
	require.Error(t, err)
	require.Empty(t, s.jobs)
	require.Equal(t, 1, freed, "the script did not begin")
	s.slots, s.slot = nil, sandbox.NewSlot(func() {})
	b, code := setup(t), codeWorker("a", nil, s)
	_, err = b.runScript(t, code, run)
	require.NoError(t, err)
	require.NotEmpty(t, b.beats)
	require.Same(t, s.slot, s.jobs[0].Slot, "the script runs in it")
	_, err = setup(t).runScript(t, code, run)
	require.NoError(t, err)
	require.Len(t, s.slots, 1, "a repetition that takes the result needs none")

	b = setup(t)
	b.SetHeartbeatDetails(step.Progress{Running: &schemas.Attempt{N: 1}})
	_, err = b.runScript(t, codeWorker("b", nil, s), run)
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(fault.OutcomeUnknown), app.Type())
	run.Async = false
	_, err = setup(t).runScript(t, codeWorker("c", nil, s), run)
	require.NoError(t, err)
	require.Len(t, s.slots, 1, "a script that does not run, and one whose caller waits, need none")
}

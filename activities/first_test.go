package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// fleet is code workers around one bucket of claims.
type fleet struct {
	mu      sync.Mutex
	claims  map[string]string
	broken  error // of the next claims
	stored  bool  // those that fail are stored all the same
	workers map[string]*activities.Code
}

func newFleet() *fleet {
	return &fleet{claims: map[string]string{}, workers: map[string]*activities.Code{}}
}

func (f *fleet) Claim(_ context.Context, owner schemas.BotID, id, worker string) (string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := owner.Tenant + "/" + owner.Bot + "/" + id
	holder, held := f.claims[key]
	if !held && (f.broken == nil || f.stored) {
		f.claims[key] = worker
	}
	switch {
	case f.broken != nil:
		return "", false, f.broken
	case held:
		return holder, false, nil
	}
	return worker, true, nil
}

// AskCodeWorker asks the worker of a name.
func (f *fleet) AskCodeWorker(ctx context.Context, _ schemas.BotID, name string, request []byte) ([]byte, error) {
	f.mu.Lock()
	code := f.workers[name]
	f.mu.Unlock()
	if code == nil {
		return nil, fault.New(fault.SandboxUnavailable, "none")
	}
	var ask step.ScriptAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, err
	}
	return schemas.Marshal(code.AnswerAsk(ctx, ask))
}

// join adds a worker with a sandbox.
func (f *fleet) join(name string, s *scripts) *activities.Code {
	code := &activities.Code{
		Activities: &activities.Activities{CodeWorkers: f, Log: slog.New(slog.DiscardHandler)},
		Scripts:    s, Sandbox: s, Host: &scripthost.Host{}, Claims: f, Name: name,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[name] = code
	return code
}

func ended(value string) step.ScriptAttempt {
	return step.ScriptAttempt{ScriptResult: step.ScriptResult{Value: []byte(value), Log: "said"}}
}

// TestAnswerAsk_OneWorkerRunsTheScript: whichever workers are asked for a run, and however often, its script runs once. The
// others name the worker that has begun it, and that has the result.
func TestAnswerAsk_OneWorkerRunsTheScript(t *testing.T) {
	t.Parallel()
	f, ask := newFleet(), step.ScriptAsk{Run: scriptRun()}
	s := &scripts{result: returns(`"v"`)}
	a, b := f.join("a", s), f.join("b", s)
	require.Equal(t, ended(`"v"`), a.AnswerAsk(t.Context(), ask))
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.AnswerAsk(t.Context(), ask))
	require.Equal(t, ended(`"v"`), a.AnswerAsk(t.Context(), ask))
	require.Len(t, s.jobs, 1)

	ask.Run.Plan.Bot = "mall"
	require.Equal(t, ended(`"v"`), b.AnswerAsk(t.Context(), ask), "an equal id of another bot")
	require.Len(t, s.jobs, 2)

	again := f.join("a", s)
	ask.Run.Plan.Bot = "shop"
	require.Equal(t, fault.OutcomeUnknown, again.AnswerAsk(t.Context(), ask).Fault.Kind, "the worker does not know its script")
	require.Len(t, s.jobs, 2)
}

func TestAnswerAsk_ScriptThatLasts(t *testing.T) {
	t.Parallel()
	f, ask := newFleet(), step.ScriptAsk{Run: scriptRun()}
	release := make(chan struct{})
	s := &scripts{result: returns(`"v"`), hold: func(context.Context) { <-release }}
	a := f.join("a", s)
	require.Equal(t, step.ScriptAttempt{Running: "a"}, a.AnswerAsk(t.Context(), ask), "the request does not wait for the end")
	close(release)
	require.Equal(t, ended(`"v"`), a.AnswerAsk(t.Context(), ask))
	require.Len(t, s.jobs, 1)
}

// TestAnswerAsk_NotBegun: a worker begins no script that would not run at once, and none without a claim.
func TestAnswerAsk_NotBegun(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fleet, *scripts, *step.ScriptAsk){
		"no free sandbox":    func(_ *fleet, s *scripts, _ *step.ScriptAsk) { s.full = true },
		"no script":          func(_ *fleet, _ *scripts, ask *step.ScriptAsk) { ask.Run.Plan.Code.Script = "lost" },
		"claims are away":    func(f *fleet, _ *scripts, _ *step.ScriptAsk) { f.broken = errors.New("away") },
		"sandbox that fails": func(_ *fleet, s *scripts, _ *step.ScriptAsk) { s.fault = fault.New(fault.SandboxUnavailable, "none") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s, ask := newFleet(), &scripts{}, step.ScriptAsk{Run: scriptRun()}
			change(f, s, &ask)
			attempt := f.join("a", s).AnswerAsk(t.Context(), ask)
			require.True(t, attempt.NotBegun)
			require.Len(t, s.jobs, map[bool]int{true: 1}[name == "sandbox that fails"])
		})
	}
}

// TestAnswerAsk_ClaimWithoutAnAnswer: the claim was stored, and the worker does not know. The script did not begin, so it may.
func TestAnswerAsk_ClaimWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	f, ask, s := newFleet(), step.ScriptAsk{Run: scriptRun()}, &scripts{result: returns(`"v"`)}
	f.broken, f.stored = errors.New("timeout"), true
	a, b := f.join("a", s), f.join("b", s)
	require.Equal(t, step.ScriptAttempt{NotBegun: true, Unclear: true}, a.AnswerAsk(t.Context(), ask))
	f.broken = nil
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.AnswerAsk(t.Context(), ask))
	require.Equal(t, ended(`"v"`), a.AnswerAsk(t.Context(), ask))
}

func TestAnswerAsk_Stop(t *testing.T) {
	t.Parallel()
	f, ask := newFleet(), step.ScriptAsk{Run: scriptRun()}
	began, stopped := make(chan struct{}), make(chan struct{})
	s := &scripts{result: sandbox.Result{Sent: true}, fault: fault.New(fault.OutcomeUnknown, "stopped"), hold: func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		close(stopped)
	}}
	a, b := f.join("a", s), f.join("b", s)
	go a.AnswerAsk(context.Background(), ask)
	<-began
	ask.Stop = true
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.AnswerAsk(t.Context(), ask))
	a.AnswerAsk(t.Context(), ask)
	<-stopped
	ask.Run.ID = "r2"
	b.AnswerAsk(t.Context(), ask)
	ask.Stop = false
	require.Equal(t, fault.OutcomeUnknown, b.AnswerAsk(t.Context(), ask).Fault.Kind, "a run that was cancelled does not begin")
	require.Len(t, s.jobs, 1)
}

// TestStopFirsts: a worker that stops waits for its scripts, for a time, and begins none meanwhile. It still answers about
// those that it has begun.
func TestStopFirsts(t *testing.T) {
	t.Parallel()
	f, ask := newFleet(), step.ScriptAsk{Run: scriptRun()}
	var a *activities.Code
	var meanwhile step.ScriptAttempt
	s := &scripts{result: returns(`"v"`), hold: func(ctx context.Context) {
		<-ctx.Done() // the worker has waited
		other := ask
		other.Run.ID = "r2"
		meanwhile = a.AnswerAsk(context.Background(), other)
	}}
	a = f.join("a", s)
	asking, end := context.WithCancel(context.Background())
	end()
	a.AnswerAsk(asking, ask)
	a.RefuseFirsts()
	a.StopFirsts(asking)
	require.Equal(t, step.ScriptAttempt{NotBegun: true}, meanwhile)
	require.Equal(t, ended(`"v"`), a.AnswerAsk(t.Context(), ask))
	require.Len(t, s.jobs, 1)
}

// runOnce runs the activity of a script that a first attempt may have begun.
func (b *bundle) runOnce(t *testing.T, code *activities.Code) (result step.ScriptResult, err error) {
	t.Helper()
	code.Register(b.TestActivityEnvironment)
	in := scriptRun()
	in.Once = true
	value, err := b.ExecuteActivity(step.ActivityScript, in)
	if err == nil {
		require.NoError(t, value.Get(&result))
	}
	return result, err
}

// TestRunScript_Once: the activity takes the result of the worker that has begun the script, begins it when none has, and does
// neither when that worker is lost.
func TestRunScript_Once(t *testing.T) {
	t.Parallel()
	f, s := newFleet(), &scripts{result: returns(`"v"`)}
	a, b := f.join("a", s), f.join("b", s)
	a.AnswerAsk(t.Context(), step.ScriptAsk{Run: scriptRun()})
	for _, code := range []*activities.Code{a, b} {
		result, err := setup(t).runOnce(t, code)
		require.NoError(t, err)
		require.Equal(t, ended(`"v"`).ScriptResult, result)
	}
	require.Len(t, s.jobs, 1)
	delete(f.workers, "a")
	result, err := setup(t).runOnce(t, f.join("b", s))
	require.NoError(t, err)
	require.Equal(t, fault.OutcomeUnknown, result.Fault.Kind)
	require.Len(t, s.jobs, 1)

	clear(f.claims)
	result, err = setup(t).runOnce(t, f.join("c", s))
	require.NoError(t, err)
	require.Equal(t, ended(`"v"`).ScriptResult, result)
	require.Len(t, s.jobs, 2)

	f.broken = errors.New("away")
	_, err = setup(t).runOnce(t, f.join("d", s))
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable(), "the claims may be back soon")
	require.Equal(t, string(fault.OutcomeUnknown), app.Type())
}

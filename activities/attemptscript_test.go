package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// codeWorkers answers as the test asks, in the place of code workers.
type codeWorkers struct {
	ctx      context.Context // of the latest request
	requests []step.ScriptRequest
	to       []string
	answer   func(n int, q step.ScriptRequest) (step.ScriptAttempt, error)
}

func (c *codeWorkers) CallCodeWorker(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error) {
	var q step.ScriptRequest
	if err := json.Unmarshal(request, &q); err != nil || q.Run.Plan.BotID != owner {
		return nil, errors.New("invalid request")
	}
	c.ctx, c.requests, c.to = ctx, append(c.requests, q), append(c.to, name)
	attempt, err := c.answer(len(c.requests), q)
	if err != nil {
		return nil, err
	}
	return schemas.Marshal(attempt)
}

// clientOf returns a client of code workers.
func clientOf(workers codeworker.Transport) *codeworker.Client {
	return &codeworker.Client{Transport: workers, Log: slog.New(slog.DiscardHandler)}
}

func scriptRun() step.ScriptRun {
	return step.ScriptRun{
		ID: "r1", Channel: "ch", Timeout: bot.Duration(5 * time.Second),
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "hook",
			Code: &bot.Code{File: "hook.py", Script: "id", Timeout: bot.Duration(5 * time.Second)},
		},
	}
}

func (b *bundle) attemptScript(t *testing.T, in step.ScriptRun) (attempt step.ScriptAttempt) {
	t.Helper()
	value, err := b.ExecuteLocalActivity(b.activities.AttemptScript, in)
	require.NoError(t, err)
	require.NoError(t, value.Get(&attempt))
	return attempt
}

// TestAttemptScript_Ends: what a code worker answers, and what the workflow learns of it.
func TestAttemptScript_Ends(t *testing.T) {
	t.Parallel()
	none, ended := fault.New(fault.SandboxUnavailable, "none"), step.ScriptAttempt{ScriptResult: step.ScriptResult{Value: []byte(`1`)}}
	running := step.ScriptAttempt{Running: "w-1"}
	type answer struct {
		step.ScriptAttempt
		err error
	}
	for name, c := range map[string]struct {
		answers []answer
		want    step.ScriptAttempt
	}{
		"a result":                {[]answer{{ended, nil}}, ended},
		"a result later":          {[]answer{{running, nil}, {running, nil}, {ended, nil}}, ended},
		"no worker":               {[]answer{{err: none}}, step.ScriptAttempt{NotBegun: true}},
		"a busy worker":           {[]answer{{step.ScriptAttempt{NotBegun: true}, nil}}, step.ScriptAttempt{NotBegun: true}},
		"a claim that failed":     {[]answer{{step.ScriptAttempt{NotBegun: true, Unclear: true}, nil}}, step.ScriptAttempt{NotBegun: true}},
		"too large":               {[]answer{{err: fault.New(fault.TooLarge, "x")}}, step.ScriptAttempt{NotBegun: true}},
		"no answer":               {[]answer{{err: context.DeadlineExceeded}}, step.ScriptAttempt{NotBegun: true, Unclear: true}},
		"a worker that is lost":   {[]answer{{running, nil}, {err: none}}, step.ScriptAttempt{NotBegun: true, Unclear: true}},
		"a worker that forgot it": {[]answer{{running, nil}, {step.ScriptAttempt{NotBegun: true}, nil}}, step.ScriptAttempt{NotBegun: true, Unclear: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			workers := &codeWorkers{answer: func(n int, _ step.ScriptRequest) (step.ScriptAttempt, error) {
				return c.answers[n-1].ScriptAttempt, c.answers[n-1].err
			}}
			b.activities.CodeWorkers = clientOf(workers)
			require.Equal(t, c.want, b.attemptScript(t, scriptRun()))
			require.Len(t, workers.requests, len(c.answers))
			for n, to := range workers.to {
				require.Equal(t, map[bool]string{true: "", false: "w-1"}[n == 0], to)
			}
			require.Equal(t, c.want, b.attemptScript(t, scriptRun()), "a repetition takes the result")
			require.Len(t, workers.requests, len(c.answers))
		})
	}
}

// TestAttemptScript_Reassigned: another process may have made a request for the run before.
func TestAttemptScript_Reassigned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.activities.RunReassigned("default-test-run-id")
	workers := &codeWorkers{answer: func(int, step.ScriptRequest) (step.ScriptAttempt, error) {
		return step.ScriptAttempt{NotBegun: true}, nil
	}}
	b.activities.CodeWorkers = clientOf(workers)
	require.Equal(t, step.ScriptAttempt{NotBegun: true, Unclear: true}, b.attemptScript(t, scriptRun()))
	require.True(t, workers.requests[0].Run.Once)
}

// TestAttemptScript_ClearBeforeTheActivity: an activity may wait for a sandbox longer than claims are stored. That no other
// process has begun the script is found out before, also for a script that is slow.
func TestAttemptScript_ClearBeforeTheActivity(t *testing.T) {
	t.Parallel()
	for _, took := range []time.Duration{0, 600 * time.Millisecond} {
		b, c := setup(t), &claims{}
		workers := &codeWorkers{answer: func(n int, _ step.ScriptRequest) (step.ScriptAttempt, error) {
			if n == 1 {
				<-time.After(took)
				return step.ScriptAttempt{}, nil
			}
			return step.ScriptAttempt{NotBegun: true}, nil
		}}
		b.activities.CodeWorkers = clientOf(workers)
		b.activities.CodeWorkers.Claims = c
		b.attemptScript(t, scriptRun())
		b.activities.RunReassigned("default-test-run-id")
		other := scriptRun()
		other.ID = "r2"
		require.Equal(t, step.ScriptAttempt{NotBegun: true}, b.attemptScript(t, other))
		require.Equal(t, "activity", c.holder)
		require.Equal(t, took > 0, len(workers.requests) == 1, "a slow script is not attempted")
	}
}

func TestAttemptScript_SlowScriptIsAnActivity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	workers := &codeWorkers{answer: func(int, step.ScriptRequest) (step.ScriptAttempt, error) {
		<-time.After(600 * time.Millisecond)
		return step.ScriptAttempt{}, nil
	}}
	b.activities.CodeWorkers = clientOf(workers)
	run := scriptRun()
	require.Equal(t, step.ScriptAttempt{}, b.attemptScript(t, run))
	run.ID = "r2"
	require.Equal(t, step.ScriptAttempt{NotBegun: true, Unclear: true}, b.attemptScript(t, run),
		"unclear, for the test's run is not new")
	require.Len(t, workers.requests, 1)
	run.ID, run.Plan.Step = "r3", "other"
	b.attemptScript(t, run)
	require.Len(t, workers.requests, 2)
}

// TestAttemptScript_CancelledRunStopsTheScript: wherever it runs.
func TestAttemptScript_CancelledRunStopsTheScript(t *testing.T) {
	t.Parallel()
	b, workers := setup(t), &codeWorkers{}
	ctx, end := context.WithCancelCause(context.Background())
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	stopped := make(chan string, 2)
	workers.answer = func(n int, q step.ScriptRequest) (step.ScriptAttempt, error) {
		if q.Stop {
			stopped <- workers.to[n-1]
			return step.ScriptAttempt{Running: "w-1"}, nil
		}
		end(temporal.NewCanceledError())
		<-workers.ctx.Done()
		return step.ScriptAttempt{}, workers.ctx.Err()
	}
	b.activities.CodeWorkers = clientOf(workers)
	_, _ = b.ExecuteLocalActivity(b.activities.AttemptScript, scriptRun())
	require.Empty(t, <-stopped)
	require.Equal(t, "w-1", <-stopped)
}

// TestAttemptScript_CancelledRunStopsItAtItsHolder: also a slow script, at which this process makes no attempt.
func TestAttemptScript_CancelledRunStopsItAtItsHolder(t *testing.T) {
	t.Parallel()
	b, stopped := setup(t), make(chan string, 1)
	ctx, end := context.WithCancelCause(context.Background())
	b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	workers := &codeWorkers{}
	workers.answer = func(n int, q step.ScriptRequest) (step.ScriptAttempt, error) {
		switch {
		case n == 1:
			<-time.After(600 * time.Millisecond)
			return step.ScriptAttempt{}, nil
		case q.Stop:
			stopped <- workers.to[n-1]
			return step.ScriptAttempt{}, nil
		}
		end(temporal.NewCanceledError())
		<-workers.ctx.Done()
		return step.ScriptAttempt{}, workers.ctx.Err()
	}
	b.activities.CodeWorkers = clientOf(workers)
	b.attemptScript(t, scriptRun())
	b.activities.CodeWorkers.Claims = &claims{holder: "w-1"}
	other := scriptRun()
	other.ID = "r2"
	_, _ = b.ExecuteLocalActivity(b.activities.AttemptScript, other)
	require.Equal(t, "w-1", <-stopped)
	require.Len(t, workers.requests, 3)
}

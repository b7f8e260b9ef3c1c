package codeworker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/leaktest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

// runner runs scripts as the test asks.
type runner struct {
	mu     sync.Mutex
	hold   func(context.Context) // what a script waits for
	runs   []step.ScriptRun
	result step.ScriptResult
	err    error
	busy   bool // no script would begin at once
}

func (r *runner) Ready(step.ScriptRun) bool { return !r.busy }

func (r *runner) Run(ctx context.Context, run step.ScriptRun) (step.ScriptResult, error) {
	r.mu.Lock()
	r.runs = append(r.runs, run)
	r.mu.Unlock()
	if r.hold != nil {
		r.hold(ctx)
	}
	return r.result, r.err
}

func returning(value string) step.ScriptResult {
	return step.ScriptResult{Value: []byte(value), Log: "said"}
}

func ended(value string) step.ScriptAttempt {
	return step.ScriptAttempt{ScriptResult: returning(value)}
}

// request requests a script for a run.
func request() step.ScriptRequest {
	return step.ScriptRequest{Run: step.ScriptRun{
		ID: "r1", Channel: "ch", Timeout: bot.Duration(5 * time.Second),
		Plan: bot.Plan{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "hook", Code: &bot.Code{Script: "id"}},
	}}
}

// fleet is code workers around one bucket of claims.
type fleet struct {
	mu      sync.Mutex
	claims  map[string]string
	broken  error // of the next claims
	stored  bool  // those that fail are stored all the same
	since   time.Time
	away    error // why it is not known since when there are claims
	workers map[string]*codeworker.Server
}

func newFleet() *fleet {
	return &fleet{claims: map[string]string{}, workers: map[string]*codeworker.Server{}}
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

func (f *fleet) Pass(_ context.Context, owner schemas.BotID, id, holder string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.claims[owner.Tenant+"/"+owner.Bot+"/"+id] = holder
	}
	return f.broken
}

func (f *fleet) Since(context.Context) (time.Time, error) { return f.since, f.away }

// CallCodeWorker calls the code worker of a name.
func (f *fleet) CallCodeWorker(ctx context.Context, _ schemas.BotID, name string, request []byte) ([]byte, error) {
	f.mu.Lock()
	worker := f.workers[name]
	f.mu.Unlock()
	if worker == nil {
		return nil, fault.New(fault.SandboxUnavailable, "none")
	}
	var q step.ScriptRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	return schemas.Marshal(worker.Handle(ctx, q))
}

// join adds a code worker.
func (f *fleet) join(name string, r *runner) *codeworker.Server {
	log := slog.New(slog.DiscardHandler)
	worker := &codeworker.Server{
		Name: name, Claims: f, Runner: r, Peers: &codeworker.Client{Transport: f, Log: log}, Log: log,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[name] = worker
	return worker
}

// TestServer_OneRunsTheScript: whichever code workers get a request for a run, and however often, its script runs once. The
// others name the code worker that has begun it, and that has the result.
func TestServer_OneRunsTheScript(t *testing.T) {
	t.Parallel()
	f, q := newFleet(), request()
	r := &runner{result: returning(`"v"`)}
	a, b := f.join("a", r), f.join("b", r)
	require.Equal(t, ended(`"v"`), a.Handle(t.Context(), q))
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.Handle(t.Context(), q))
	require.Equal(t, ended(`"v"`), a.Handle(t.Context(), q))
	require.Len(t, r.runs, 1)

	q.Run.Plan.Bot = "mall"
	require.Equal(t, ended(`"v"`), b.Handle(t.Context(), q), "an equal id of another bot")
	require.Len(t, r.runs, 2)

	again := f.join("a", r)
	q.Run.Plan.Bot = "shop"
	require.Equal(t, fault.OutcomeUnknown, again.Handle(t.Context(), q).Fault.Kind, "the worker does not know its script")
	require.Len(t, r.runs, 2)
}

func TestServer_ScriptThatLasts(t *testing.T) {
	t.Parallel()
	f, q := newFleet(), request()
	release := make(chan struct{})
	r := &runner{result: returning(`"v"`), hold: func(context.Context) { <-release }}
	a := f.join("a", r)
	require.Equal(t, step.ScriptAttempt{Running: "a"}, a.Handle(t.Context(), q), "the request does not wait for the end")
	close(release)
	require.Equal(t, ended(`"v"`), a.Handle(t.Context(), q))
	require.Len(t, r.runs, 1)
}

// TestServer_NotBegun: a code worker begins no script that would not run at once, and none without a claim.
func TestServer_NotBegun(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fleet, *runner){
		"not ready":         func(_ *fleet, r *runner) { r.busy = true },
		"claims are away":   func(f *fleet, _ *runner) { f.broken = errors.New("away") },
		"runner that fails": func(_ *fleet, r *runner) { r.err = fault.New(fault.SandboxUnavailable, "none") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r := newFleet(), &runner{}
			change(f, r)
			require.True(t, f.join("a", r).Handle(t.Context(), request()).NotBegun)
			require.Len(t, r.runs, map[bool]int{true: 1}[name == "runner that fails"])
		})
	}
}

// TestServer_ClaimWithoutAnAnswer: the claim was stored, and the code worker does not know. The script did not begin, so it
// may.
func TestServer_ClaimWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	f, q, r := newFleet(), request(), &runner{result: returning(`"v"`)}
	f.broken, f.stored = errors.New("timeout"), true
	a, b := f.join("a", r), f.join("b", r)
	require.Equal(t, step.ScriptAttempt{NotBegun: true, Unclear: true}, a.Handle(t.Context(), q))
	f.broken = nil
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.Handle(t.Context(), q))
	require.Equal(t, ended(`"v"`), a.Handle(t.Context(), q))
}

func TestServer_Stop(t *testing.T) {
	t.Parallel()
	f, q := newFleet(), request()
	began, stopped := make(chan struct{}), make(chan struct{})
	r := &runner{result: step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown, "stopped")}, hold: func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		close(stopped)
	}}
	a, b := f.join("a", r), f.join("b", r)
	go a.Handle(context.Background(), q)
	<-began
	q.Stop = true
	require.Equal(t, step.ScriptAttempt{Running: "a"}, b.Handle(t.Context(), q))
	a.Handle(t.Context(), q)
	<-stopped
	q.Run.ID = "r2"
	b.Handle(t.Context(), q)
	q.Stop = false
	require.Equal(t, fault.OutcomeUnknown, b.Handle(t.Context(), q).Fault.Kind, "a run that was cancelled does not begin")
	require.Len(t, r.runs, 1)
}

// TestServer_Drain: a code worker that stops waits for its scripts, for a time, and begins none meanwhile. It still answers
// about those that it has begun.
func TestServer_Drain(t *testing.T) {
	t.Parallel()
	f, q := newFleet(), request()
	var a *codeworker.Server
	var meanwhile step.ScriptAttempt
	r := &runner{result: returning(`"v"`), hold: func(ctx context.Context) {
		<-ctx.Done() // the worker has waited
		other := q
		other.Run.ID = "r2"
		meanwhile = a.Handle(context.Background(), other)
	}}
	a = f.join("a", r)
	calling, end := context.WithCancel(context.Background())
	end()
	a.Handle(calling, q)
	a.Close()
	a.Drain(calling)
	require.Equal(t, step.ScriptAttempt{NotBegun: true}, meanwhile)
	require.Equal(t, ended(`"v"`), a.Handle(t.Context(), q))
	require.Len(t, r.runs, 1)
}

// TestServer_Begun: an activity takes the result of the code worker that has begun the script, learns when none has, and
// that the outcome is unknown when that code worker is lost.
func TestServer_Begun(t *testing.T) {
	t.Parallel()
	f, r, run := newFleet(), &runner{result: returning(`"v"`)}, request().Run
	run.Once = true
	a, b := f.join("a", r), f.join("b", r)
	a.Handle(t.Context(), request())
	for _, worker := range []*codeworker.Server{a, b} {
		result, failed := worker.Begun(t.Context(), run)
		require.Nil(t, failed)
		require.Equal(t, returning(`"v"`), *result)
	}
	require.Len(t, r.runs, 1)

	delete(f.workers, "a")
	result, failed := f.join("b", r).Begun(t.Context(), run)
	require.Nil(t, failed)
	require.Equal(t, fault.OutcomeUnknown, result.Fault.Kind)

	clear(f.claims)
	for _, name := range []string{"c", "d"} {
		result, failed = f.join(name, r).Begun(t.Context(), run)
		require.Nil(t, failed)
		require.Nil(t, result, "the activity runs it, at each of its tries")
	}
	for _, once := range []bool{false, true} {
		q := request()
		q.Run.Once = once
		require.Equal(t, step.ScriptAttempt{NotBegun: true}, f.join("e", r).Handle(t.Context(), q), "no first attempt begins it")
	}
	require.Len(t, r.runs, 1)

	f.broken = errors.New("away")
	_, failed = f.join("d", r).Begun(t.Context(), run)
	require.NotNil(t, failed, "the claims may be back soon")
	require.Equal(t, fault.OutcomeUnknown, failed.Kind)
}

// TestServer_NotBegunIsLeftToTheActivity: a code worker that could not begin a script may be gone when the activity is
// tried. Its script is not one that was lost.
func TestServer_NotBegunIsLeftToTheActivity(t *testing.T) {
	t.Parallel()
	f, r, run := newFleet(), &runner{err: fault.New(fault.SandboxUnavailable, "none")}, request().Run
	require.True(t, f.join("a", r).Handle(t.Context(), request()).NotBegun)
	delete(f.workers, "a")
	run.Once = true
	result, failed := f.join("b", r).Begun(t.Context(), run)
	require.Nil(t, failed)
	require.Nil(t, result)
}

// TestServer_LateFirstAttempt: a worker of workflows that was stopped for long sends its request when the claim of the
// attempt that was made instead may have expired.
func TestServer_LateFirstAttempt(t *testing.T) {
	t.Parallel()
	f, r, q := newFleet(), &runner{result: returning(`"v"`)}, request()
	q.Run.Started = time.Now().Add(-9 * time.Minute)
	require.Equal(t, step.ScriptAttempt{NotBegun: true}, f.join("a", r).Handle(t.Context(), q))
	require.Empty(t, r.runs)
	q.Run.Started = time.Now().Add(-7 * time.Minute)
	require.Equal(t, ended(`"v"`), f.join("a", r).Handle(t.Context(), q))
}

// TestServer_ClaimsLost: a script runs in one worker, whose claim NATS has lost. Another worker, which is called for it by an
// activity, can claim it in the bucket that was created again, and must not run it.
func TestServer_ClaimsLost(t *testing.T) {
	t.Parallel()
	started := time.Now().Add(-5 * time.Minute)
	for name, c := range map[string]struct {
		since   time.Time
		started time.Time
		away    error
		want    fault.Kind // "": it runs
	}{
		"older bucket":        {since: started.Add(-time.Hour), started: started},
		"new bucket":          {since: started.Add(time.Minute), started: started, want: fault.OutcomeUnknown},
		"clocks apart":        {since: started.Add(-step.ClockSlack / 2), started: started, want: fault.OutcomeUnknown},
		"earlier release":     {since: started.Add(time.Minute)},
		"cannot be looked at": {away: errors.New("away"), started: started, want: fault.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r := newFleet(), &runner{result: returning(`"v"`)}
			f.since, f.away = c.since, c.away
			q := request()
			q.Run.Once, q.Run.Started = true, c.started
			worker := f.join("b", r)
			attempt := worker.Handle(t.Context(), q)
			if c.want == "" {
				require.Equal(t, ended(`"v"`), attempt)
				return
			}
			require.Empty(t, r.runs)
			if c.away != nil {
				require.True(t, attempt.NotBegun && attempt.Unclear)
				f.away, f.since = nil, started.Add(time.Minute)
				attempt = worker.Handle(t.Context(), q)
			}
			require.Equal(t, c.want, attempt.Fault.Kind)
			require.Equal(t, c.want, worker.Handle(t.Context(), q).Fault.Kind, "again")
			require.Empty(t, r.runs)

			q.Run.ID, q.Run.Once = "another", false // it is known that none has begun it
			require.Equal(t, ended(`"v"`), worker.Handle(t.Context(), q))
		})
	}
}

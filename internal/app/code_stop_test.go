package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// heldScripts is a sandbox whose scripts run until release is closed, or until they are stopped.
type heldScripts struct {
	began   chan string // the id of each run
	release chan struct{}
}

func (h heldScripts) Run(ctx context.Context, j sandbox.Job) (sandbox.Result, *fault.Fault) {
	h.began <- j.EventID
	select {
	case <-h.release:
		return sandbox.Result{Sent: true, Value: []byte(`"done"`)}, nil
	case <-ctx.Done():
		return sandbox.Result{Sent: true}, fault.New(fault.OutcomeUnknown, "stopped")
	}
}

func (heldScripts) Reserve(context.Context, sandbox.Job) (*sandbox.Slot, *fault.Fault) {
	return nil, nil
}

func (heldScripts) Free(sandbox.Job) bool          { return true }
func (heldScripts) Script(string) (string, bool)   { return "text", true }
func (heldScripts) Latest(bot.Plan) (string, bool) { return "", false }

func (heldScripts) Claim(_ context.Context, _ schemas.BotID, _, worker string) (string, bool, error) {
	return worker, true, nil
}

func (heldScripts) Pass(context.Context, schemas.BotID, string, string) error { return nil }

func (heldScripts) Since(context.Context) (time.Time, error) { return time.Time{}, nil }

// codeRig is a code worker without Temporal, and a process that calls it.
type codeRig struct {
	worker  *Worker
	scripts heldScripts
	client  *pubsub.PubSub
}

func newCodeRig(t *testing.T, timeout time.Duration) *codeRig {
	t.Helper()
	url, log := natstest.Start(t).ClientURL(), slog.New(slog.DiscardHandler)
	connect := func(name string) (*pubsub.PubSub, *nats.Conn) {
		nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: url}, name, nil)
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		return pubsub.New(js), nc
	}
	client, _ := connect("client")
	requests, nc := connect("code")
	r := &codeRig{
		worker: &Worker{parts: parts{log: log}}, client: client,
		scripts: heldScripts{make(chan string, 8), make(chan struct{})},
	}
	code := &activities.Code{
		Activities: &activities.Activities{Log: log}, Scripts: r.scripts, Sandbox: r.scripts, Host: &scripthost.Host{},
	}
	code.Attempts = &codeworker.Server{Name: "w-1", Claims: r.scripts, Runner: code, Log: log}
	r.worker.stopTogether(timeout)
	require.NoError(t, r.worker.serveRequests(t.Context(), requests, code))
	require.NoError(t, nc.Flush(), "the server has the subscriptions")
	return r
}

func heldRun(id string) step.ScriptRun {
	plan := bot.Plan{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Code: &bot.Code{Script: "id"}}
	return step.ScriptRun{ID: id, Timeout: bot.Duration(time.Minute), Plan: plan}
}

// bare requests a script without a workflow, and returns the channel of its result once it runs.
func (r *codeRig) bare(t *testing.T, id string) chan step.ScriptResult {
	t.Helper()
	return begun(t, r, id, heldRun(id), func(_ string, request []byte) ([]byte, error) {
		return r.client.CallScript(t.Context(), heldRun(id).Plan.BotID, request)
	})
}

// attempt requests the first attempt at a script, and returns the channel of its result once it runs.
func (r *codeRig) attempt(t *testing.T, id string) chan step.ScriptResult {
	t.Helper()
	return begun(t, r, id, step.ScriptRequest{Run: heldRun(id)}, func(worker string, request []byte) ([]byte, error) {
		return r.client.CallCodeWorker(t.Context(), heldRun(id).Plan.BotID, worker, request)
	})
}

func begun(
	t *testing.T, r *codeRig, id string, request any, call func(worker string, request []byte) ([]byte, error),
) chan step.ScriptResult {
	t.Helper()
	text, err := schemas.Marshal(request)
	require.NoError(t, err)
	result := make(chan step.ScriptResult, 1)
	go func() {
		defer close(result)
		for got := (step.ScriptAttempt{}); ; {
			answer, err := call(got.Running, text)
			if got = (step.ScriptAttempt{}); err != nil || json.Unmarshal(answer, &got) != nil {
				return
			}
			if got.Running == "" {
				result <- got.ScriptResult
				return
			}
		}
	}()
	require.Equal(t, id, <-r.scripts.began)
	return result
}

// TestCodeWorker_StopEndsScripts: scripts that run when the stop timeout is over are ended, and answered.
func TestCodeWorker_StopEndsScripts(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, time.Millisecond)
	bare, attempt := r.bare(t, "bare"), r.attempt(t, "attempt")
	require.NoError(t, r.worker.Stop(context.WithoutCancel(t.Context())))
	for _, result := range []chan step.ScriptResult{bare, attempt} {
		got := <-result
		require.NotNil(t, got.Fault)
		require.Equal(t, fault.OutcomeUnknown, got.Fault.Kind)
	}
}

// TestCodeWorker_StopsAllSourcesOfScripts: while a worker that stops waits for its scripts, it begins no other, of any
// source, and has the results of those that it has begun.
func TestCodeWorker_StopsAllSourcesOfScripts(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, time.Hour)
	ctx, shop := t.Context(), heldRun("").Plan.BotID
	bare, attempt, stopped := r.bare(t, "bare"), r.attempt(t, "attempt"), make(chan error, 1)
	go func() { stopped <- r.worker.Stop(context.WithoutCancel(ctx)) }()
	unserved := func(_ []byte, err error) bool {
		f, ok := errors.AsType[*fault.Fault](err)
		return ok && f.Kind == fault.SandboxUnavailable
	}
	invalid := []byte("{") // it begins no script where it is received
	require.Eventually(t, func() bool {
		return unserved(r.client.CallScript(ctx, shop, invalid)) && unserved(r.client.CallCodeWorker(ctx, shop, "", invalid))
	}, time.Minute, time.Millisecond)
	request, err := schemas.Marshal(step.ScriptRequest{Run: heldRun("late")})
	require.NoError(t, err)
	answer, err := r.client.CallCodeWorker(ctx, shop, "w-1", request)
	require.NoError(t, err, "a client that waits for a result calls this worker by its name")
	require.JSONEq(t, `{"not_begun":true}`, string(answer))
	close(r.scripts.release)
	require.JSONEq(t, `"done"`, string((<-bare).Value))
	require.JSONEq(t, `"done"`, string((<-attempt).Value))
	require.NoError(t, <-stopped)
	require.Empty(t, r.scripts.began)
}

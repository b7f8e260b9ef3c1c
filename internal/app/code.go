package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/google/uuid"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// scriptsPerCore is the number of scripts that may run at a time for each core: scripts mostly wait for responses.
const scriptsPerCore = 8

// startSandboxes starts the sandboxes of code steps. It returns an error that names what is missing when none can start.
func (w *Worker) startSandboxes(ctx context.Context, cfg Config, out *egress.Client) (*sandbox.Sandbox, error) {
	options, err := SandboxOptions(cfg, out)
	if err != nil {
		return nil, err
	}
	box, err := sandbox.New(ctx, options)
	if err != nil {
		return nil, err
	}
	w.parts.add("sandboxes", func(context.Context) error { box.Close(); return nil })
	w.showSlots(step.QueueCode, cfg, box.Used)
	return box, nil
}

// pollCode polls code steps, which run in the sandboxes.
func (w *Worker) pollCode(
	ctx context.Context, b *base, cfg Config, acts *activities.Activities, out *egress.Client, box *sandbox.Sandbox,
) error {
	// The user of a worker that runs scripts only may not store keys: a script could have taken the worker over.
	var create createKey
	if slices.Contains(cfg.TaskQueues, step.QueueMain) {
		create = signedurl.NewKey
	}
	signer, err := openSigner(ctx, b, purposeFileLink, create, cfg.Log)
	if err != nil {
		return err
	}
	host := &scripthost.Host{
		Bots: b.bots, Channels: b.channels, Scripts: b.bots, HTTP: out, Sandbox: box,
		PubSub: pubsub.New(b.js), Log: cfg.Log,
		Files: store.NewFiles(b.streams), Links: fileLinks(cfg, signer),
	}
	code := &activities.Code{Activities: acts, Scripts: b.bots, Sandbox: box, Host: host}
	code.Attempts = &codeworker.Server{
		Name: uuid.NewString(), Claims: store.NewScriptClaims(b.streams), Runner: code, Peers: acts.CodeWorkers, Log: cfg.Log,
	}
	for queue, atOnce := range codeQueues() {
		sdk := worker.New(b.temporal, queue, w.codeQueueOptions(cfg, atOnce))
		code.Register(sdk)
		if err := w.run(sdk, queue); err != nil {
			return err
		}
	}
	return w.serveRequests(ctx, pubsub.New(b.js), code)
}

// codeQueueOptions returns the SDK's options for a task queue of scripts, which has no workflows.
func (w *Worker) codeQueueOptions(cfg Config, atOnce int) worker.Options {
	o := w.queueOptions(cfg)
	o.MaxConcurrentActivityExecutionSize = atOnce
	o.DisableWorkflowWorker = true
	return o
}

// serveRequests runs the scripts that other processes request over NATS.
func (w *Worker) serveRequests(ctx context.Context, requests *pubsub.PubSub, code *activities.Code) error {
	if err := w.serveAttempts(ctx, requests, code.Attempts); err != nil {
		return err
	}
	return w.serveScripts(ctx, requests, code)
}

// serveAttempts runs scripts for the first attempts of workflows, which workers request over NATS. When the worker stops, it
// begins none any more, and answers requests about those that run until they have ended.
func (w *Worker) serveAttempts(ctx context.Context, requests *pubsub.PubSub, attempts *codeworker.Server) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	answer := func(request []byte, limit int) []byte {
		return answerAttempt(ctx, attempts, w.parts.log, request, limit)
	}
	stopNamed, err := requests.ServeAttemptsTo(attempts.Name, answer)
	if err != nil {
		cancel()
		return err
	}
	stop, err := requests.ServeAttempts(scriptsAtOnce(), answer, encodeAnswer(step.ScriptAttempt{NotBegun: true}))
	w.running.add(func(stopping context.Context) error {
		defer cancel()
		attempts.Close()
		var draining sync.WaitGroup
		draining.Go(func() { attempts.Drain(stopping) })
		if stop != nil {
			stop(stopping)
		}
		draining.Wait()
		stopNamed(stopping)
		return nil
	})
	return err
}

// serveScripts runs scripts of channels with run: bare, which come from gateways over NATS. When the worker stops, it
// receives no more requests, and scripts that still run when its time is over are ended and answered.
func (w *Worker) serveScripts(ctx context.Context, requests *pubsub.PubSub, code *activities.Code) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	busy := failedAnswer(fault.SandboxUnavailable, "the worker runs as many scripts as it may")
	stop, err := requests.ServeScripts(scriptsAtOnce(), func(request []byte, limit int) []byte {
		return answerScript(ctx, code, w.parts.log, request, limit)
	}, busy)
	if err != nil {
		cancel()
		return err
	}
	w.running.add(func(stopping context.Context) error {
		defer cancel()
		context.AfterFunc(stopping, cancel) // scripts that still run are ended
		stop(stopping)
		return nil
	})
	return nil
}

// answerAttempt answers a request about the first attempt at a script.
func answerAttempt(
	ctx context.Context, attempts *codeworker.Server, log *slog.Logger, request []byte, limit int,
) []byte {
	return answerWith(ctx, log, limit, func() (any, bool) {
		var q step.ScriptRequest
		if err := json.Unmarshal(request, &q); err != nil || q.Run.Plan.Code == nil {
			return nil, false
		}
		return attempts.Handle(ctx, q), true
	})
}

// answerScript runs the script of a request of a gateway.
func answerScript(ctx context.Context, code *activities.Code, log *slog.Logger, request []byte, limit int) []byte {
	return answerWith(ctx, log, limit, func() (any, bool) {
		var run step.ScriptRun
		if err := json.Unmarshal(request, &run); err != nil || run.Plan.Code == nil {
			return nil, false
		}
		return code.RunBare(ctx, run), true
	})
}

// answerWith returns the answer to a request for a script, at most limit bytes. run returns false for an invalid request. A
// panic fails the request, as one of an activity does in Temporal: the process has the scripts of other tenants.
func answerWith(ctx context.Context, log *slog.Logger, limit int, run func() (any, bool)) (answer []byte) {
	defer func() {
		if reason := recover(); reason != nil {
			log.ErrorContext(ctx, "running a script panicked", "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
			answer = failedAnswer(fault.Internal, "the script was not run: see the worker's log")
		}
	}()
	result, valid := run()
	if !valid {
		return failedAnswer(fault.Internal, "invalid request to run a script")
	}
	if answer = encodeAnswer(result); len(answer) > limit {
		return failedAnswer(fault.TooLarge, "what the script returned exceeds %d bytes, the limit of NATS", limit)
	}
	return answer
}

// failedAnswer is the answer of a script that failed. A step.ScriptResult reads the same as a step.ScriptAttempt, which
// holds one.
func failedAnswer(kind fault.Kind, format string, args ...any) []byte {
	return encodeAnswer(step.ScriptResult{Fault: fault.New(kind, format, args...)})
}

func encodeAnswer(r any) []byte {
	data, err := schemas.Marshal(r)
	if err != nil { // a value of a script that is not JSON does not come here
		data = []byte(`{"fault":{"kind":"internal","message":"the result cannot be encoded"}}`)
	}
	return data
}

// scriptsAtOnce is more than the scripts that run at a time, so that scripts of other tenants pass those of a tenant that
// has used its share. The sandbox allows one tenant sixteen times the running scripts, a quarter of this number.
func scriptsAtOnce() int { return 64 * scriptsPerCore * runtime.GOMAXPROCS(0) }

// codeQueues returns the task queues of scripts, and how many scripts of each a worker takes at a time.
func codeQueues() map[string]int {
	return map[string]int{step.QueueCode: scriptsAtOnce(), step.QueueCodeAsync: asyncAtOnce()}
}

// asyncAtOnce is how many scripts for which no caller waits a worker takes at a time: twice those that run, so that one is
// ready when another ends. Those wait before their heartbeats, so that they are not lost with the worker. The others wait at
// the server, which shares the places between tenants, and not here, where they would be tried and turned away again and
// again.
func asyncAtOnce() int { return scriptsPerCore * runtime.GOMAXPROCS(0) }

// SandboxOptions returns the options of the sandbox; scripts use the same egress client as webhooks.
func SandboxOptions(cfg Config, out *egress.Client) (sandbox.Options, error) {
	users, err := sandbox.ParseUsers(cfg.SandboxUsers)
	if err != nil {
		return sandbox.Options{}, fmt.Errorf("--sandbox-users: %w", err)
	}
	return sandbox.Options{
		Concurrency: scriptsPerCore * runtime.GOMAXPROCS(0), Warm: 2 * runtime.GOMAXPROCS(0), Users: users,
		Cgroup: cfg.SandboxCgroup, Packages: cfg.Packages,
		Dial: out.DialContext, CheckURL: out.CheckURL, Log: cfg.Log,
	}, nil
}

// checkPackage returns the check of the wheels that bot files name, nil without a directory of packages. It keeps what it
// found for the next load.
func checkPackage(dir string) func(wheel, sum string) error {
	if dir == "" {
		return nil
	}
	wheels := sandbox.NewWheels(dir)
	return func(wheel, sum string) error { return wheels.Check(sandbox.Wheel{File: wheel, SHA256: sum}) }
}

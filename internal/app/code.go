package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// scriptsPerCore is the number of scripts that may run at a time for each core: scripts mostly wait for responses.
const scriptsPerCore = 8

// pollCode starts sandboxes and polls code steps. It returns an error that names what is missing when no sandbox can start.
func (w *Worker) pollCode(
	ctx context.Context, b *base, cfg Config, acts *activities.Activities, out *egress.Client,
) error {
	options, err := SandboxOptions(cfg, out)
	if err != nil {
		return err
	}
	box, err := sandbox.New(ctx, options)
	if err != nil {
		return err
	}
	w.parts.add("sandboxes", func(context.Context) error { box.Close(); return nil })
	w.showSlots(step.QueueCode, cfg, box.Used)
	sdk := worker.New(b.temporal, step.QueueCode, worker.Options{
		MaxConcurrentActivityExecutionSize: scriptsAtOnce(),
		DisableWorkflowWorker:              true,
		WorkerStopTimeout:                  cfg.StopTimeout,
		DisableRegistrationAliasing:        true,
		OnFatalError:                       w.fatal.fail,
		DeploymentOptions:                  cfg.Deployment.options(),
	})
	signer, err := openSigner(ctx, b.streams, purposeFileLink)
	if err != nil {
		return err
	}
	link := func(owner schemas.BotID, id string) string {
		url, _ := fileLinks(cfg, signer).Make(owner, id, time.Now())
		return url
	}
	host := &scripthost.Host{
		Bots: b.bots, Channels: b.channels, Scripts: b.bots, HTTP: out, Sandbox: box,
		PubSub: bus.NewPubSub(b.js), Log: cfg.Log,
		Files: store.NewFiles(b.streams), Link: link,
	}
	code := &activities.Code{Activities: acts, Scripts: b.bots, Sandbox: box, Host: host}
	code.Register(sdk)
	if err := w.run(sdk, step.QueueCode); err != nil {
		return err
	}
	return w.serveScripts(ctx, bus.NewPubSub(b.js), code)
}

// serveScripts runs scripts of channels with run: bare, which come from gateways over NATS.
func (w *Worker) serveScripts(ctx context.Context, requests *bus.PubSub, code *activities.Code) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	busy := encodeScriptResult(step.ScriptResult{
		Fault: fault.New(fault.SandboxUnavailable, "the worker runs as many scripts as it may"),
	})
	stop, err := requests.ServeScripts(scriptsAtOnce(), func(request []byte, limit int) []byte {
		return answerScript(ctx, code, w.parts.log, request, limit)
	}, busy)
	if err != nil {
		cancel()
		return err
	}
	w.parts.add("scripts without workflows", func(stopping context.Context) error {
		defer cancel()
		context.AfterFunc(stopping, cancel) // scripts that still run are ended
		stop(stopping)
		return nil
	})
	return nil
}

// answerScript runs the script of a request. A panic fails the request, as one of an activity does in Temporal: the process
// has the scripts of other tenants.
func answerScript(
	ctx context.Context, code *activities.Code, log *slog.Logger, request []byte, limit int,
) (answer []byte) {
	defer func() {
		if reason := recover(); reason != nil {
			log.ErrorContext(ctx, "running a script panicked", "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
			answer = encodeScriptResult(step.ScriptResult{
				Fault: fault.New(fault.Internal, "the script was not run: see the worker's log"),
			})
		}
	}()
	var run step.ScriptRun
	if err := json.Unmarshal(request, &run); err != nil || run.Plan.Code == nil {
		return encodeScriptResult(step.ScriptResult{Fault: fault.New(fault.Internal, "invalid request to run a script")})
	}
	answer = encodeScriptResult(code.RunBare(ctx, run))
	if len(answer) > limit {
		answer = encodeScriptResult(step.ScriptResult{
			Fault: fault.New(fault.TooLarge, "what the script returned exceeds %d bytes, the limit of NATS", limit),
		})
	}
	return answer
}

func encodeScriptResult(r step.ScriptResult) []byte {
	data, err := schemas.Marshal(r)
	if err != nil { // a value of a script that is not JSON does not come here
		data = []byte(`{"fault":{"kind":"internal","message":"the result cannot be encoded"}}`)
	}
	return data
}

// scriptsAtOnce is more than the scripts that run at a time, so that scripts of other tenants pass those of a tenant that
// has used its share. The sandbox allows one tenant sixteen times the running scripts, a quarter of this number.
func scriptsAtOnce() int { return 64 * scriptsPerCore * runtime.GOMAXPROCS(0) }

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

// checkPackage returns the check of the wheels that bot files name, nil without a directory of packages.
func checkPackage(dir string) func(wheel, sum string) error {
	if dir == "" {
		return nil
	}
	return func(wheel, sum string) error {
		_, err := sandbox.ReadWheel(dir, sandbox.Wheel{File: wheel, SHA256: sum})
		return err
	}
}

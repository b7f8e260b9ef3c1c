package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/activities"
	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/codeworker"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/jq"
	"github.com/hookturn/hookturn/internal/load"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
	"github.com/hookturn/hookturn/workflows"
)

// Worker is a running worker: it runs the workflows and activities of hookturn's task queues.
type Worker struct {
	load    *load.Monitor
	parts   parts
	running together // what runs work of the task queues
	admin   *adminapi.Server
	fatal   fatal
}

// StartWorker connects and starts polling. It waits for NATS and Temporal until ctx ends; invalid bot files are an error
// immediately.
func StartWorker(ctx context.Context, cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withPayloadKeys(true)
	if err != nil {
		return nil, err
	}
	w := &Worker{parts: parts{log: cfg.Log}, fatal: newFatal()}
	if err := w.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, w.parts.stop(context.WithoutCancel(ctx)))
	}
	return w, nil
}

func (w *Worker) start(ctx context.Context, cfg Config) error {
	metrics := cfg.Metrics
	ready := &w.fatal.readiness
	var err error
	if w.admin, err = startAdmin(cfg, ready, &w.parts); err != nil {
		return err
	}
	w.load = load.New(load.MemoryLimit())
	measureReports(&cfg.Temporal.ConnectionOptions, w.load)
	var reassigned func(run string)
	watchTasks(&cfg.Temporal.ConnectionOptions, w.load.Pauses, func(run string) { reassigned(run) })
	w.parts.add("load monitor", background(w.load.Run))
	base, err := startBase(ctx, cfg, metrics, &w.parts, "hookturn-worker", w.fatal.fail)
	if err != nil {
		return err
	}
	ready.Explain(base.botFiles)
	out, err := egress.New(egressOptions(cfg))
	if err != nil {
		return err
	}
	w.parts.add("egress", func(context.Context) error { out.Close(); return nil })
	acts, err := w.activities(ctx, cfg, base, out)
	if err != nil {
		return err
	}
	reassigned = acts.RunReassigned // before the first poll
	if err := w.pollQueues(ctx, base, cfg, acts, out); err != nil {
		return err
	}
	if slices.Contains(cfg.TaskQueues, step.QueueMain) {
		sweep := sweeper{queues: store.NewQueues(base.js, base.streams), temporal: base.temporal, wake: acts.Wake, log: cfg.Log}
		w.parts.add("queue sweep", background(sweep.run))
		// Workers of code steps alone promote nothing: without workers of the main queue no version works.
		stop, err := cfg.Deployment.Follow(ctx, base.temporal, base.namespace, cfg.Log)
		if err != nil {
			return err
		}
		w.parts.add("deployment", func(context.Context) error { stop(); return nil })
	}
	ready.Begin(base.ready)
	return nil
}

// activities returns the activities with their dependencies.
func (w *Worker) activities(ctx context.Context, cfg Config, b *base, out *egress.Client) (*activities.Activities, error) {
	limiter, err := startLimiter(ctx, b, cfg.Log, cfg.Metrics, &w.parts)
	if err != nil {
		return nil, err
	}
	programs := jq.NewPool(jqProcesses)
	programs.Observe = cfg.Metrics.Program
	w.parts.add("jq processes", func(context.Context) error { programs.Close(); return nil })
	acts := &activities.Activities{
		Bots: b.bots, Dialects: dialects.New(programs),
		HTTP: out, Limits: limiter, Tokens: oauth2.New(out.RoundTripper(tokenTimeout, tokenMax)),
		Users: store.NewUsers(b.js, b.streams), Chats: store.NewChats(b.js, b.streams), Publisher: bus.NewReplies(b.streams),
		Queues: store.NewQueues(b.js, b.streams), Wake: wake(b.temporal),
		StartQueue: startQueue(b.temporal), Log: cfg.Log, Metrics: cfg.Metrics, Traces: b.traces,
	}
	acts.CodeWorkers = &codeworker.Client{
		Transport: pubsub.New(b.js), Claims: store.NewScriptClaims(b.streams), Log: cfg.Log,
	}
	acts.Heartbeat, acts.ReportTime = b.temporal.RecordActivityHeartbeat, w.load.ReportTime
	acts.Sessions = store.NewSessions(b.js, b.streams)
	acts.MayHaveSessions = func(id schemas.BotID) bool { return mayHaveSessions(b.bots.Current(), id) }
	if cfg.GatewayURL == "" || !slices.Contains(cfg.TaskQueues, step.QueueMain) {
		return acts, nil
	}
	signer, err := openSigner(ctx, b, purposeCallback, signedurl.NewKey, cfg.Log)
	if err != nil {
		return nil, err
	}
	acts.Callbacks = signedurl.Callbacks{Signer: signer, Gateway: cfg.GatewayURL}
	return acts, nil
}

const (
	jqProcesses  = 4                // that run jq programs; each is started when it is first needed
	tokenTimeout = 10 * time.Second // of one request to an OAuth 2 token endpoint
	tokenMax     = 64 << 10         // bytes of its answer
)

// deadlockTimeout is how long workflow code may hold a workflow task without yielding before the SDK fails the task. A
// worker that takes over all conversations of another version replays many histories at once: with the SDK's default
// of 1 s, a busy machine was taken for a deadlock.
const deadlockTimeout = 20 * time.Second

// poll starts the SDK's worker of the main task queue.
func (w *Worker) poll(c client.Client, cfg Config, acts *activities.Activities, tuned worker.WorkerTuner) error {
	sdk := worker.New(c, step.QueueMain, w.mainQueueOptions(cfg, tuned))
	workflows.Register(sdk)
	acts.Register(sdk)
	return w.run(sdk, step.QueueMain)
}

// mainQueueOptions returns the SDK's options for the main task queue.
func (w *Worker) mainQueueOptions(cfg Config, tuned worker.WorkerTuner) worker.Options {
	o := w.queueOptions(cfg)
	o.Tuner = tuned
	o.Interceptors = []interceptor.WorkerInterceptor{&scriptsNotRun{log: cfg.Log, metrics: cfg.Metrics}}
	o.WorkflowTaskPollerBehavior = pollers()
	o.StickyScheduleToStartTimeout = stickyTimeout
	o.DeadlockDetectionTimeout = deadlockTimeout
	return o
}

// showSlots exports the share of slots in use for as long as the worker runs.
func (w *Worker) showSlots(queue string, cfg Config, used func() float64) {
	stop := cfg.Metrics.WatchSlots(queue, used)
	w.parts.add("slots of "+queue, func(context.Context) error { stop(); return nil })
}

// stickyTimeout is how long a workflow task waits for the worker that has the conversation in its cache. It bounds how
// soon another worker takes over the conversations of one that died.
const stickyTimeout = 2 * time.Second

// pollers returns the poller behavior. The minimum is high, because the server writes a workflow task without a waiting
// poll to its database first: with 8 a steady step costs a quarter more CPU than with 32 (docs/benchmarks). A host that
// vanishes, or a process that is stopped, leaves its polls at the server, and each of them takes one task for the timeout of
// a workflow task (2 s), until the server detects the dead connection.
func pollers() worker.PollerBehavior {
	return worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: 32, MinimumNumberOfPollers: 32, MaximumNumberOfPollers: 128,
	})
}

// Fatal returns the channel of the first error after which the worker cannot continue.
func (w *Worker) Fatal() <-chan error { return w.fatal.first }

// AdminAddr returns the address of the admin listener, "" when there is none.
func (w *Worker) AdminAddr() string { return w.admin.Addr() }

// Stop marks the worker as not ready, stops polling, waits up to the stop timeout for running work, and closes every
// connection.
func (w *Worker) Stop(ctx context.Context) error {
	w.fatal.readiness.Stop()
	return w.parts.stop(ctx)
}

func egressOptions(cfg Config) egress.Options {
	return egress.Options{
		Allow: cfg.EgressAllow, AllowPlainHTTP: cfg.EgressDevelopment, AllowLoopback: cfg.EgressDevelopment,
		UserAgent: "hookturn/" + Version,
	}
}

// BotOptions returns the options for loading bot files; loading reports steps whose endpoint the egress policy denies.
// An error means that the operator's own list is invalid.
func BotOptions(cfg Config) (bot.Options, error) {
	out, err := egress.New(egressOptions(cfg))
	if err != nil {
		return bot.Options{}, fmt.Errorf("check --egress-allow or HOOKTURN_EGRESS_ALLOW: %w", err)
	}
	out.Close() // it only checks
	return bot.Options{
		CheckPackage: checkPackage(cfg.Packages),
		Dialects:     dialects.Specs(),
		SecretsDir:   cfg.SecretsDir, FreeSecrets: cfg.FreeSecrets, RefuseBad: cfg.BadBots == BadBotsRefuse,
		AllowPlainHTTP: true, // CheckURL decides, which has the operator's list
		CheckURL:       out.CheckURL,
		CheckProgram:   jq.Check,
		Licences:       cfg.Licences,
	}, nil
}

// mayHaveSessions reports whether conversations of a bot may have sessions: it has an adapter that gets events about
// them, or its file is not here. The file may come later, or may have been removed: a session is begun by the plan of
// its step.
func mayHaveSessions(bots *bot.Set, id schemas.BotID) bool {
	b, known := bots.Bot(id)
	return !known || slices.ContainsFunc(b.Adapters(), func(a *bot.BotAdapter) bool { return a.Events != "" })
}

package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// The first attempt at the script of a channel is a local activity in the worker of workflows. It asks a code worker, which
// claims the script before it begins (first.go). What does not begin at once becomes an activity on the queue of the code
// workers.

// CodeWorkers are the workers that run scripts, as other workers reach them over NATS. *pubsub.PubSub is one.
type CodeWorkers interface {
	// AskCodeWorker sends a step.ScriptAsk to one of the code workers, or to the one of a name, and returns its
	// step.ScriptAttempt. A *fault.Fault means that no worker received the request: its kind is sandbox_unavailable when no
	// worker has subscribed.
	AskCodeWorker(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error)
}

const (
	// askTimeout bounds one request: a code worker answers within firstPoll, also while the script runs.
	askTimeout = firstPoll + 3*time.Second
	// askSlack is what the first attempt gets above the script's timeout, as the activity has.
	askSlack = 14 * time.Second
	// stopTimeout bounds the request that stops a script.
	stopTimeout = time.Second
)

// AttemptScript makes the first attempt at the script of a run. A repetition of the activity in the same process joins the
// attempt that it began. One in another process cannot know whether the script has begun: its attempt is unclear unless a
// code worker has the answer.
func (a *Activities) AttemptScript(ctx context.Context, in step.ScriptRun) (step.ScriptAttempt, error) {
	key := flight.KeyOf(ctx, in.Plan.Tenant, "", in.ID, 1)
	attempt := a.scripts.Find(key)
	if attempt == nil {
		first, reassigned := a.runs.markSeen(key.Run)
		in.Once = reassigned || !first
		if a.CodeWorkers == nil || a.durations.slow(scriptOf(in)) {
			return step.ScriptAttempt{NotBegun: true, Unclear: in.Once}, nil
		}
		attempt = a.scripts.JoinOrStart(ctx, a.Log, key, func(ctx context.Context, f *flight.Flight[step.ScriptAttempt]) step.ScriptAttempt {
			f.Keep = true
			result := a.askForScript(ctx, in)
			f.Bytes = bytesOf(result)
			return result
		}, step.ScriptAttempt{NotBegun: true, Unclear: true})
	}
	return attempt.Wait(ctx), nil
}

// askForScript asks a code worker to run a script, and that worker for the end of it.
func (a *Activities) askForScript(ctx context.Context, in step.ScriptRun) step.ScriptAttempt {
	ctx, cancel := context.WithTimeout(ctx, in.Timeout.D()+askSlack)
	defer cancel()
	began := time.Now()
	for worker := ""; ; {
		unclear := in.Once || worker != ""
		attempt, err := a.ask(ctx, worker, step.ScriptAsk{Run: in})
		switch {
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
				a.stopScript(ctx, worker, in)
			}
			return step.ScriptAttempt{NotBegun: true, Unclear: true}
		case err != nil:
			_, notReceived := errors.AsType[*fault.Fault](err)
			a.Log.DebugContext(ctx, "first attempt at a script left to an activity", "channel", in.Channel, "request", in.ID,
				"error", err)
			return step.ScriptAttempt{NotBegun: true, Unclear: unclear || !notReceived}
		case attempt.Running != "":
			worker = attempt.Running
			continue
		case attempt.NotBegun:
			attempt.Unclear = unclear
			return attempt
		}
		a.durations.record(scriptOf(in), time.Since(began))
		return attempt
	}
}

// ask sends one request to the code worker of a name, "" for any.
func (a *Activities) ask(ctx context.Context, worker string, ask step.ScriptAsk) (attempt step.ScriptAttempt, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := schemas.Marshal(ask)
	if err != nil {
		return attempt, fault.Wrap(fault.Internal, err, "the request cannot be encoded")
	}
	answer, err := a.CodeWorkers.AskCodeWorker(ctx, ask.Run.Plan.BotID, worker, request)
	if err != nil {
		return attempt, err
	}
	if err := json.Unmarshal(answer, &attempt); err != nil {
		return attempt, fmt.Errorf("answer of a code worker: %w", err)
	}
	return attempt, nil
}

// stopScript stops a script whose run was cancelled.
func (a *Activities) stopScript(ctx context.Context, worker string, in step.ScriptRun) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	attempt, err := a.ask(ctx, worker, step.ScriptAsk{Run: in, Stop: true})
	if err == nil && attempt.Running != "" && worker == "" {
		_, err = a.ask(ctx, attempt.Running, step.ScriptAsk{Run: in, Stop: true})
	}
	if err != nil {
		a.Log.InfoContext(ctx, "script of a cancelled run not stopped", "workflow", workflowOf(ctx), "channel", in.Channel,
			"request", in.ID, "error", err)
	}
}

// bytesOf is roughly what a first attempt takes in memory once it has ended.
func bytesOf(a step.ScriptAttempt) int { return attemptBytes + len(a.Value) + len(a.Log) }

// scriptOf names the script of a run among all tenants.
func scriptOf(in step.ScriptRun) string {
	return in.Plan.Tenant + "/" + in.Plan.Bot + "/" + in.Plan.Step
}

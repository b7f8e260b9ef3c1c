package activities

import (
	"context"
	"errors"
	"time"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// A first attempt is asked for by a worker that may be lost, and the next one then asks again, possibly another code worker.
// So a code worker claims the script before it begins: of all that are asked for one run, one begins. The others answer with
// its name, and it answers with the result, also when the script has ended.

// Claims record which worker has begun the script of a run. *store.Begun is one.
type Claims interface {
	// Claim records that a worker begins a script unless one has: then it returns which. After an error it may be recorded.
	Claim(ctx context.Context, owner schemas.BotID, id, worker string) (holder string, created bool, err error)
}

const (
	// firstPoll is how long a code worker lets a request wait for the end of a script.
	firstPoll = 2 * time.Second
	// claimTimeout bounds the claim of a script. One that takes longer leaves the script to an activity.
	claimTimeout = 2 * time.Second
	// lostAsks and lostPause are how often, and with what wait, a worker is asked that does not answer, before it counts as
	// lost: it may be about to reconnect to NATS.
	lostAsks  = 6
	lostPause = 500 * time.Millisecond
)

// workerLost returns the result of a script whose worker has begun it and cannot be asked.
func workerLost() step.ScriptResult {
	return step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown,
		"the worker was lost while the script ran: look whether it had its effect")}
}

// AnswerAsk answers a request about the first attempt at a script. It begins the script unless a worker has, or this one
// stops.
func (c *Code) AnswerAsk(ctx context.Context, ask step.ScriptAsk) step.ScriptAttempt {
	in := ask.Run
	ctx = telemetry.WithTrace(ctx, in)
	key := firstKey(in)
	attempt := c.firsts.Find(key)
	switch {
	case ask.Stop:
		return c.stopFirst(ctx, attempt, in)
	case attempt == nil && !in.Once && !c.canBegin(in):
		return step.ScriptAttempt{NotBegun: true}
	case attempt == nil:
		attempt = c.firsts.JoinOrStart(ctx, c.Log, key, func(ctx context.Context, f *flight.Flight[step.ScriptAttempt]) step.ScriptAttempt {
			return c.first(ctx, f, in)
		}, step.ScriptAttempt{ScriptResult: step.ScriptResult{
			Fault: fault.New(fault.Internal, "running the script panicked: see the worker's log"),
		}})
		if attempt == nil {
			return step.ScriptAttempt{NotBegun: true}
		}
	}
	timer := time.NewTimer(firstPoll)
	defer timer.Stop()
	select {
	case <-attempt.Done():
		return attempt.Result()
	case <-timer.C:
	case <-ctx.Done():
	}
	return step.ScriptAttempt{Running: c.Name}
}

// firstKey names the first attempt of a run, whichever worker asks for it.
func firstKey(in step.ScriptRun) flight.Key {
	return flight.Key{Tenant: in.Plan.Tenant, Conversation: in.Plan.Bot, Event: in.ID, N: 1}
}

// canBegin reports whether a script would run at once.
func (c *Code) canBegin(in step.ScriptRun) bool {
	_, known := c.Scripts.Script(in.Plan.Code.Script)
	return known && c.Sandbox.Free(in.Plan.Tenant)
}

// first claims a script and runs it. A claim of this worker without an attempt is of one that could not be confirmed, or
// whose script did not begin; or it is of one that this worker does not know any more.
func (c *Code) first(ctx context.Context, f *flight.Flight[step.ScriptAttempt], in step.ScriptRun) step.ScriptAttempt {
	holder, created, err := c.claim(ctx, in)
	switch {
	case err != nil:
		c.unbegun.Set(firstKey(in), struct{}{})
		c.Log.WarnContext(ctx, "claiming a script failed, an activity runs it", "channel", in.Channel, "request", in.ID,
			"error", err)
		return step.ScriptAttempt{NotBegun: true, Unclear: true}
	case holder != c.Name:
		return step.ScriptAttempt{Running: holder}
	case !created && !c.unbegun.Remove(firstKey(in)):
		return step.ScriptAttempt{ScriptResult: workerLost()}
	}
	result, err := c.runScript(ctx, in)
	if err != nil {
		c.unbegun.Set(firstKey(in), struct{}{})
		return step.ScriptAttempt{NotBegun: true}
	}
	attempt := step.ScriptAttempt{ScriptResult: result}
	f.Keep, f.Bytes = true, bytesOf(attempt)
	return attempt
}

func (c *Code) claim(ctx context.Context, in step.ScriptRun) (holder string, created bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return c.Claims.Claim(ctx, in.Plan.BotID, in.ID, c.Name)
}

// stopFirst stops the script of a run that was cancelled, or names the worker that has begun it.
func (c *Code) stopFirst(ctx context.Context, attempt *flight.Flight[step.ScriptAttempt], in step.ScriptRun) step.ScriptAttempt {
	if attempt != nil {
		attempt.Stop(egress.ErrCancelled)
		return step.ScriptAttempt{}
	}
	holder, _, err := c.claim(ctx, in) // nothing begins the script from here on
	if err != nil || holder == c.Name {
		return step.ScriptAttempt{}
	}
	return step.ScriptAttempt{Running: holder}
}

// RefuseFirsts lets no first attempt begin from here on.
func (c *Code) RefuseFirsts() { c.firsts.Close() }

// StopFirsts waits until no first attempt is under way, after RefuseFirsts. When ctx ends, it stops those that are.
func (c *Code) StopFirsts(ctx context.Context) { c.firsts.Drain(ctx) }

// runOnce runs a script that another worker may have begun: it claims it, or waits for the worker that has.
func (c *Code) runOnce(ctx context.Context, in step.ScriptRun) (step.ScriptResult, error) {
	for worker, lost := c.Name, 0; ; {
		attempt, err := c.askFor(ctx, worker, in)
		missing, notReceived := errors.AsType[*fault.Fault](err)
		switch {
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
				c.stopOnce(ctx, worker, in)
			}
			return step.ScriptResult{Fault: fault.New(fault.OutcomeUnknown, "the run was stopped while the script ran")}, nil
		case notReceived && missing.Kind == fault.SandboxUnavailable && lost >= lostAsks:
			return workerLost(), nil
		case notReceived && missing.Kind == fault.SandboxUnavailable:
			lost++
			select {
			case <-time.After(lostPause):
			case <-ctx.Done():
			}
		case err != nil, attempt.NotBegun && attempt.Unclear:
			return step.ScriptResult{}, again(fault.New(fault.OutcomeUnknown, "it is not known whether the script has begun"))
		case attempt.NotBegun:
			return step.ScriptResult{}, again(fault.New(fault.SandboxUnavailable, "the sandbox did not start: see the worker's log"))
		case attempt.Running == "":
			return attempt.ScriptResult, nil
		default:
			worker, lost = attempt.Running, 0
		}
	}
}

func (c *Code) askFor(ctx context.Context, worker string, in step.ScriptRun) (step.ScriptAttempt, error) {
	if worker == c.Name {
		return c.AnswerAsk(ctx, step.ScriptAsk{Run: in}), nil
	}
	return c.ask(ctx, worker, step.ScriptAsk{Run: in})
}

func (c *Code) stopOnce(ctx context.Context, worker string, in step.ScriptRun) {
	if worker != c.Name {
		c.stopScript(ctx, worker, in)
		return
	}
	if attempt := c.firsts.Find(firstKey(in)); attempt != nil {
		attempt.Stop(egress.ErrCancelled)
	}
}

package codeworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Client sends requests to code workers. Transport and Log are required; it is safe for concurrent use.
type Client struct {
	Transport Transport
	Claims    Claims // nil: what is unclear remains so
	Log       *slog.Logger

	durations durations
}

// Transport carries requests to code workers. *pubsub.PubSub is one.
type Transport interface {
	// CallCodeWorker sends a step.ScriptRequest to any code worker, or to the one of a name, and returns the
	// step.ScriptAttempt that it answers. A *fault.Fault means that no code worker received the request: its kind is
	// sandbox_unavailable when none has subscribed.
	CallCodeWorker(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error)
}

const (
	// requestTimeout bounds one request: a code worker answers within answerWithin, also while the script runs.
	requestTimeout = answerWithin + 3*time.Second
	// attemptSlack is what an attempt gets above the script's timeout: what the activity has, less the time to claim the
	// script for the activity of the run.
	attemptSlack = 15*time.Second - 2*claimTimeout - time.Second
	// stopTimeout bounds the request that stops a script.
	stopTimeout = time.Second
)

// Slow reports whether the script of a run is likely to take longer than limit.SlowAfter, by its latest attempts.
func (c *Client) Slow(run step.ScriptRun) bool { return c.durations.slow(scriptOf(run)) }

// Attempt has a code worker run the script of a run, and waits for the end. A script that is cancelled, which is when the
// cause of ctx's end is egress.ErrCancelled, is stopped. The time is bounded by the run's timeout and 14 seconds.
func (c *Client) Attempt(ctx context.Context, run step.ScriptRun) step.ScriptAttempt {
	trying, cancel := context.WithTimeout(ctx, run.Timeout.D()+attemptSlack)
	defer cancel()
	began := time.Now()
	attempt := c.attempt(trying, "", run)
	if attempt.Unclear && ctx.Err() == nil {
		attempt = c.resolve(ctx, trying, run)
	}
	if !attempt.NotBegun {
		c.durations.record(scriptOf(run), time.Since(began))
	}
	return attempt
}

// LeaveToActivity makes no attempt at a script that another one may have begun. It finds out whether one has, and lets none
// begin it from here on: claims expire, and the activity may have to wait for hours. When a code worker has begun the
// script, it waits for the end there, within the time of Attempt and by its rules.
func (c *Client) LeaveToActivity(ctx context.Context, run step.ScriptRun) step.ScriptAttempt {
	trying, cancel := context.WithTimeout(ctx, run.Timeout.D()+attemptSlack)
	defer cancel()
	return c.resolve(ctx, trying, run)
}

// resolve claims a script for its activity, or takes the result of the code worker that has claimed it, as long as trying
// lasts: an activity that waits for hours would find a code worker that has forgotten the result.
func (c *Client) resolve(ctx, trying context.Context, run step.ScriptRun) step.ScriptAttempt {
	holder, unclear := c.claimForActivity(ctx, run)
	if holder == "" {
		return step.ScriptAttempt{NotBegun: true, Unclear: unclear}
	}
	attempt := c.attempt(trying, holder, run)
	if attempt.NotBegun && trying.Err() == nil { // the code worker may have passed its claim on
		_, attempt.Unclear = c.claimForActivity(ctx, run)
	}
	return attempt
}

// claimForActivity claims a script for its activity. It returns the code worker that has claimed it before, "" when none is
// known, and whether one may have begun it.
func (c *Client) claimForActivity(ctx context.Context, run step.ScriptRun) (holder string, unclear bool) {
	if c.Claims == nil {
		return "", true
	}
	holder, lost, err := claimForActivity(ctx, c.Claims, run)
	if err != nil {
		c.Log.WarnContext(ctx, "claiming a script for its activity failed", "channel", run.Channel, "request",
			run.ID, "error", err)
	}
	switch {
	case err != nil, lost:
		return "", true
	case holder == byActivity:
		return "", false
	}
	return holder, true
}

// attempt has the code worker of a name, "" for any, run a script, and waits for the end.
func (c *Client) attempt(ctx context.Context, worker string, run step.ScriptRun) step.ScriptAttempt {
	for {
		unclear := run.Once || worker != ""
		attempt, err := c.request(ctx, worker, step.ScriptRequest{Run: run})
		switch {
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
				c.stop(ctx, worker, run)
			}
			return step.ScriptAttempt{NotBegun: true, Unclear: true}
		case err != nil:
			_, notReceived := errors.AsType[*fault.Fault](err)
			c.Log.DebugContext(ctx, "first attempt at a script left to an activity", "channel", run.Channel, "request", run.ID,
				"error", err)
			return step.ScriptAttempt{NotBegun: true, Unclear: unclear || !notReceived}
		case attempt.Running != "":
			worker = attempt.Running
		case attempt.NotBegun:
			attempt.Unclear = unclear
			return attempt
		default:
			return attempt
		}
	}
}

// request sends one request to the code worker of a name, "" for any.
func (c *Client) request(
	ctx context.Context, worker string, q step.ScriptRequest,
) (attempt step.ScriptAttempt, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := schemas.Marshal(q)
	if err != nil {
		return attempt, fault.Wrap(fault.Internal, err, "the request cannot be encoded")
	}
	answer, err := c.Transport.CallCodeWorker(ctx, q.Run.Plan.BotID, worker, request)
	if err != nil {
		return attempt, err
	}
	if err := json.Unmarshal(answer, &attempt); err != nil {
		return attempt, fmt.Errorf("answer of a code worker: %w", err)
	}
	return attempt, nil
}

// stop stops a script whose run was cancelled, at the code worker of a name, or wherever it runs ("").
func (c *Client) stop(ctx context.Context, worker string, run step.ScriptRun) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	attempt, err := c.request(ctx, worker, step.ScriptRequest{Run: run, Stop: true})
	if err == nil && attempt.Running != "" && worker == "" {
		_, err = c.request(ctx, attempt.Running, step.ScriptRequest{Run: run, Stop: true})
	}
	if err != nil {
		c.Log.InfoContext(ctx, "script of a cancelled run not stopped", "workflow", flight.WorkflowOf(ctx),
			"channel", run.Channel, "request", run.ID, "error", err)
	}
}

// scriptOf names the script of a run among all tenants.
func scriptOf(run step.ScriptRun) string {
	return run.Plan.Tenant + "/" + run.Plan.Bot + "/" + run.Plan.Step
}

// Size returns roughly how many bytes an attempt that has ended takes in memory.
func Size(a step.ScriptAttempt) int { return 1<<10 + len(a.Value) + len(a.Log) }

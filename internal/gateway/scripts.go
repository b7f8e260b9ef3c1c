package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// startTimeout bounds the time until Temporal has accepted a run.
	startTimeout = 10 * time.Second
	// runTimeout bounds a whole run whose caller waits: the script's own time, the wait for a sandbox, the tries that found
	// none.
	runTimeout = 5 * time.Minute
)

// Scripts runs bots' scripts for channels, each as a workflow, or without one for channels with run: bare. All fields are
// required.
type Scripts struct {
	Bots     Bots
	Temporal Temporal
	Bare     Bare
	Log      *slog.Logger
}

// Bare sends a script to a worker that runs it without a workflow. *pubsub.PubSub is one.
type Bare interface {
	CallScript(ctx context.Context, owner schemas.BotID, request []byte) ([]byte, error)
}

// Run runs a script and waits for what it returns, for at most a time. When ctx ends first, the run is cancelled.
func (s *Scripts) Run(ctx context.Context, ch *bot.Channel, script string, timeout time.Duration,
	tell func(*step.ScriptRun) error,
) (json.RawMessage, error) {
	run, err := s.prepare(ch, script)
	if err != nil {
		return nil, err
	}
	if err := tell(run); err != nil {
		return nil, err
	}
	run.Timeout = bot.Duration(max(timeout, time.Second)) // the caller is answered in time all the same
	if ch.Bare() {
		result, err := s.runBare(ctx, run, timeout)
		return result.Value, err
	}
	handle, err := s.start(ctx, run)
	if err != nil {
		s.Log.WarnContext(ctx, "starting channel script failed", "tenant", ch.Tenant, "bot", ch.Bot, "channel", ch.Code,
			"script", script, "error", err)
		return nil, err
	}
	result, err := s.await(ctx, timeout, handle)
	if ctx.Err() != nil {
		s.cancel(handle)
	}
	return result.Value, err
}

// runBare runs a script without a workflow and waits for its end. The script runs to its own timeout when ctx ends first.
func (s *Scripts) runBare(ctx context.Context, run *step.ScriptRun, timeout time.Duration) (step.ScriptResult, error) {
	var result step.ScriptResult
	request, err := schemas.Marshal(run)
	if err != nil {
		return result, err
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := s.Bare.CallScript(waiting, run.Plan.BotID, request)
	switch {
	case err != nil && waiting.Err() != nil && ctx.Err() == nil:
		return result, fault.New(fault.ScriptTimeout, "the script did not answer within %s", timeout)
	case errors.Is(err, nats.ErrDisconnected): // while it waited for the answer
		return result, outcomeUnknown("", err)
	case err != nil:
		return result, err
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return result, outcomeUnknown("", fmt.Errorf("answer of a worker: %w", err))
	}
	if result.Fault != nil {
		return result, result.Fault
	}
	return result, nil
}

// cancel stops a run whose request no longer waits for it.
func (s *Scripts) cancel(handle client.WorkflowRun) {
	ctx, done := context.WithTimeout(context.Background(), startTimeout)
	defer done()
	if err := s.Temporal.CancelWorkflow(ctx, handle.GetID(), handle.GetRunID()); err != nil {
		s.Log.Warn("cancelling aborted script failed", "workflow", handle.GetID(), "error", err)
	}
}

// prepare returns a new run of one of a bot's scripts for a channel.
func (s *Scripts) prepare(ch *bot.Channel, script string) (*step.ScriptRun, error) {
	b, ok := s.Bots.Current().Bot(ch.BotID)
	if !ok {
		return nil, fault.New(fault.UnknownBot, "the bot of the channel is gone")
	}
	plan, err := b.ScriptPlan(script)
	if err != nil {
		return nil, err
	}
	return &step.ScriptRun{ID: uuid.NewString(), Plan: plan, Channel: ch.Code, Timeout: plan.Code.Timeout}, nil
}

// start hands a run to Temporal: from here on it happens, whatever becomes of this process. An error of the kind
// outcome_unknown means that Temporal did not answer in time: it may store the run later. One of the kind too_large means
// that Temporal does not keep an input of this size.
func (s *Scripts) start(ctx context.Context, run *step.ScriptRun) (client.WorkflowRun, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	timeout := runTimeout
	if run.Async {
		timeout = step.AsyncRunTimeout
	}
	id := step.ID(run.Plan.WithConversation("channel-"+run.Channel), run.ID)
	handle, err := s.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                    id,
		TaskQueue:             step.QueueMain,
		WorkflowRunTimeout:    timeout,
		WorkflowTaskTimeout:   scriptTaskTimeout,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		Priority:              temporal.Priority{FairnessKey: run.Plan.Tenant},
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(run.Plan.Tenant),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(run.Plan.Bot),
			temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(run.Plan.Step),
		),
		StaticSummary: run.Plan.Bot + ": channel " + run.Channel + ", script " + run.Plan.Step,
	}, step.WorkflowStep, step.Request{Script: run, Format: step.FormatLatest})
	_, invalid := errors.AsType[*serviceerror.InvalidArgument](err)
	switch {
	case unanswered(err):
		return nil, outcomeUnknown(id, err)
	case invalid:
		return nil, fault.Wrap(fault.TooLarge, err, "the request is too large to be kept")
	}
	return handle, err
}

// outcomeUnknown returns the error of a run that Temporal has, or may have; without a workflow's id, of one that a worker
// may have. Its caller must not be asked to try again: each request is a run of its own, and the script would run twice.
func outcomeUnknown(workflow string, cause error) error {
	where := ""
	if workflow != "" {
		where = " (workflow " + workflow + ")"
	}
	return fault.Wrap(fault.OutcomeUnknown, cause, "it is not known whether the script did its work%s: "+
		"look for its effect before you send the request again", where)
}

// unanswered reports whether a request to Temporal ended before its answer came.
func unanswered(err error) bool {
	_, late := errors.AsType[*serviceerror.DeadlineExceeded](err)
	_, cancelled := errors.AsType[*serviceerror.Canceled](err)
	return late || cancelled || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// scriptTaskTimeout is how soon another worker takes over the workflow of a script.
const scriptTaskTimeout = 2 * time.Second

// await waits for the end of a run, and stops one that takes too long. The error is a *fault.Fault when the script is to
// blame, or when the end of the run does not show whether the script ran (outcome_unknown).
func (s *Scripts) await(ctx context.Context, timeout time.Duration, handle client.WorkflowRun) (step.ScriptResult, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var done step.Result
	err := handle.Get(waiting, &done)
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok && failed.HasDetails() {
		err = failed.Details(&done) // the error of a failed run holds the result of the script
	}
	_, late := errors.AsType[*serviceerror.DeadlineExceeded](err) // Temporal may notice the end of ctx a little before ctx does
	switch {
	case (late || waiting.Err() != nil) && ctx.Err() == nil:
		s.cancel(handle)
		return step.ScriptResult{}, fault.New(fault.ScriptTimeout, "the script did not answer within %s", timeout)
	case err != nil: // its end cannot be read, or an operator or a timeout ended it
		return step.ScriptResult{}, outcomeUnknown(handle.GetID(), err)
	case done.Script == nil:
		return step.ScriptResult{}, outcomeUnknown(handle.GetID(), errors.New("the run has no result"))
	case done.Script.Fault != nil:
		return step.ScriptResult{}, done.Script.Fault
	}
	return *done.Script, nil
}

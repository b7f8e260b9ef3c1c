package activities

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// call is one attempt of a step, from the bot file's words to the endpoint's answer. What it did is in progress.
type call struct {
	*Activities
	in       step.WebhookInput
	clock    clock
	flight   *flight.Flight[attempted]
	dialect  dialect.Dialect
	context  dialect.Context
	progress step.Progress
}

// attempted is how an attempt ended: with a result, or with a fault.
type attempted struct {
	result   step.WebhookResult
	failed   *fault.Fault
	progress step.Progress
	adopted  bool // it is the end of a step whose reply the engine has already
}

// run makes the attempt and all that follows from its answer.
func (c *call) run(ctx context.Context) attempted {
	d, err := c.Dialects.Get(c.in.Plan.Dialect)
	if err != nil {
		return attempted{failed: fault.Of(err), progress: c.progress}
	}
	c.dialect = d
	if stored := c.storedReply(ctx); stored != nil {
		c.settleUserDetails(ctx, *stored)
		return c.adopt(ctx, *stored)
	}
	notified := c.watchSoftDeadline(ctx)
	defer notified()
	answer, callsBack, failed := c.attempt(ctx)
	if failed != nil {
		c.progress.Notified = notified()
		if errors.Is(context.Cause(ctx), egress.ErrCancelled) {
			failed = fault.Wrap(fault.Cancelled, failed, "the step was cancelled")
		}
		return attempted{failed: failed, progress: c.progress}
	}
	result := step.WebhookResult{Answer: answer, CallsBack: callsBack, Attempts: c.progress.Attempts}
	ctx = context.WithoutCancel(ctx) // the endpoint has answered: its answer is used
	c.keepUserDetails(ctx, &result)
	c.announceHandover(ctx)
	result.Notified = notified() // before the reply, so that a progress message never comes after it
	if c.in.Reply && !callsBack {
		var stored *schemas.StepReplied
		if result.ReplyID, stored = c.publishReplied(ctx, &result); stored != nil {
			return c.adopt(ctx, *stored)
		}
	}
	c.flight.Bytes += len(result.ConversationDetails) + len(result.UserDetails) + len(result.Output)
	return attempted{result: result, progress: c.progress}
}

// attempt makes one request and reads its answer, all within the time of the attempt. A request that the
// endpoint's limits deny does not count as an attempt.
func (c *call) attempt(ctx context.Context) (answer dialect.Answer, callsBack bool, failed *fault.Fault) {
	if failed := cmp.Or(c.expired(ctx), c.deleted(ctx)); failed != nil {
		return answer, false, failed
	}
	timeout, cause, failed := c.timeout()
	if failed != nil {
		return answer, false, failed
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
	defer cancel()
	limits := limitsOf(c.in.Plan)
	// A request that would be denied is not prepared: while its endpoint is paused, a step must not end because its bearer
	// token cannot be fetched.
	if denied := c.Limits.Check(limits); denied != nil {
		return answer, false, c.refused(denied)
	}
	request, failed := c.prepare(ctx)
	if failed != nil {
		return answer, false, failed
	}
	request.Timeout = timeout
	permit, denied := c.Limits.Acquire(limits)
	if denied != nil {
		return answer, false, c.refused(denied)
	}
	defer func() { permit.Release(limit.Result{Fault: failed}) }()
	return c.send(ctx, request)
}

// refused counts a request that the endpoint's limits deny, and returns why.
func (c *call) refused(denied *fault.Fault) *fault.Fault {
	c.Metrics.Refused(c.in.Plan.BotID, c.in.Plan.Step, string(denied.Kind))
	return denied
}

// expired returns why the request must not be made any more: the event of a queued step has passed its latest useful moment,
// by the server's clock.
func (c *call) expired(ctx context.Context) *fault.Fault {
	if until := c.in.UsefulUntil; until != nil && activity.GetInfo(ctx).StartedTime.After(*until) {
		return fault.New(fault.Expired, "the event's latest useful moment passed in the background queue of its step")
	}
	return nil
}

// deleted returns why the request must not be made any more: the step has waited, and its entry was deleted from the
// background queue meanwhile, as it is when its user is erased.
func (c *call) deleted(ctx context.Context) *fault.Fault {
	waited := activity.GetInfo(ctx).Attempt > 1 || c.progress.Waited > entryCurrent
	if c.in.Plan.Webhook.Mode != bot.ModeBackground || !waited {
		return nil
	}
	if c.stillQueued(ctx, c.in.Plan.WithConversation(c.in.Event.Subject), c.in.Plan.Step, c.in.Event.ID) {
		return nil
	}
	return fault.New(fault.Cancelled, "the step was deleted from its background queue")
}

// prepare makes the request: the dialect's body, and every header around it. The same step always gives the same body.
func (c *call) prepare(ctx context.Context) (egress.Request, *fault.Fault) {
	if failed := c.readUserDetails(ctx, c.in, &c.progress); failed != nil {
		return egress.Request{}, failed
	}
	c.context = contextOf(c.in, c.progress)
	encoded, err := c.dialect.Encode(c.context)
	if err != nil {
		return egress.Request{}, fault.Of(err)
	}
	if !aboutSession(c.in.Event) { // of an earlier conversation, perhaps: the client may write in another one by now
		c.rememberChat(ctx, encoded.Chat)
	}
	c.joinSession(ctx)
	secrets := secretsOf{a: c.Activities, plan: c.in.Plan, refused: refusals(c.progress.Attempts)}
	header, failed := c.header(c.in, secrets, encoded, len(c.progress.Attempts)+1)
	if failed != nil {
		return egress.Request{}, failed
	}
	c.offerCallback(ctx, header)
	identity, failed := secrets.identity()
	if failed != nil {
		return egress.Request{}, failed
	}
	if failed := c.authorize(ctx, secrets, header); failed != nil {
		return egress.Request{}, failed
	}
	return egress.Request{
		Method: http.MethodPost, URL: c.in.Plan.Webhook.URL, Header: header, Body: encoded.Body, TLS: identity,
		Ignores: c.ignores,
	}, nil
}

// rememberChat lets what the partner sends in the chat find the conversation. Without it the request is still worth making.
func (c *call) rememberChat(ctx context.Context, chat string) {
	if chat == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, step.AnnounceTimeout)
	defer cancel()
	current, err := c.Chats.Remember(ctx, c.in.Plan.BotID, chat, c.in.Event.Subject, fenceOf(ctx, c.in))
	if err == nil && current != c.in.Event.Subject {
		c.Log.InfoContext(ctx, "chat of a later step kept", "event", c.in.Event.ID, "adapter", c.in.Plan.Step)
	}
	if err != nil {
		c.Log.WarnContext(ctx, "messages of the adapter's owner may not find their conversation", "event", c.in.Event.ID,
			"adapter", c.in.Plan.Step, "error", err)
	}
}

// timeout is what the attempt may take, everything before the request included, and the cause by which that ends. An attempt
// whose late answer is wanted may go on when the step's deadline has passed; every other ends with the step.
//
//nolint:revive,staticcheck // cause is a value, not an error of timeout
func (c *call) timeout() (timeout time.Duration, cause error, failed *fault.Fault) {
	w, left := c.in.Plan.Webhook, c.clock.left()
	switch {
	case left <= 0:
		return 0, nil, fault.New(fault.Timeout, "the step's timeout of %s passed", w.Timeout)
	case left < w.AttemptTimeout.D() && w.LateAnswer != bot.LateAnswerPublish:
		return left, context.DeadlineExceeded, nil
	}
	return w.AttemptTimeout.D(), egress.ErrAttempt, nil
}

// offerCallback adds the address at which the endpoint may answer later.
func (c *call) offerCallback(ctx context.Context, header http.Header) {
	if _, can := c.dialect.(dialect.Deferrer); !can || c.Callbacks == nil || c.in.Plan.Webhook.Mode == bot.ModeBackground {
		return
	}
	workflow := activity.GetInfo(ctx).WorkflowExecution.ID
	header.Set("Hookturn-Callback", c.Callbacks.URL(workflow, c.in.Event.ID, c.in.Deadline))
}

func (c *call) send(ctx context.Context, r egress.Request) (answer dialect.Answer, callsBack bool, failed *fault.Fault) {
	n := len(c.progress.Attempts) + 1
	running := c.progress
	running.Running = &schemas.Attempt{N: n, Started: time.Now().UTC(), URL: limitsOf(c.in.Plan).Endpoint.URL}
	c.flight.SetProgress(running)
	c.flight.Keep = true // from here on the endpoint may know of the request
	span := c.Traces.Attempt(spanOf(c.in), running.Running.URL, n)
	if span != nil {
		parent, state := span.Parent()
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", state)
	}
	response, attempt, err := c.HTTP.Do(ctx, r)
	attempt.N = n
	c.flight.Bytes = attemptBytes + int(attempt.Bytes)
	if failed = fault.Of(err); failed == nil {
		failed = dialect.Classify(c.dialect, response.Status, egress.RetryAfter(response.Header, time.Now()))
	}
	if failed == nil {
		answer, callsBack, failed = c.read(ctx, response)
	}
	if failed != nil {
		attempt.Error = string(failed.Kind)
	}
	endAttempt(span, attempt)
	c.progress.Attempts = append(slices.Clip(c.progress.Attempts), attempt)
	if failed != nil { // after an answer, heartbeats name this attempt until its result is reported: a repetition joins it
		c.flight.SetProgress(c.progress)
	}
	c.recordAttempt(ctx, c.in, attempt)
	if failed != nil && failed.Status == http.StatusUnauthorized {
		c.forgetToken(r.Header)
		secrets := secretsOf{a: c.Activities, plan: c.in.Plan, refused: refusals(c.progress.Attempts)}
		failed.Passing = secrets.canRotate()
	}
	return answer, callsBack, failed
}

// attemptBytes is roughly what an attempt takes in memory besides its answer.
const attemptBytes = 1 << 10

// limitsOf returns the endpoint of a plan and its limits.
func limitsOf(p bot.Plan) limit.Request {
	url, _, _ := strings.Cut(p.Webhook.URL, "?")
	return limit.Request{
		Endpoint: limit.Endpoint{BotID: p.BotID, URL: url}, Revision: p.Revision, Limits: p.Webhook.Limits,
		Rechecks: p.Webhook.Mode == bot.ModeBackground,
	}
}

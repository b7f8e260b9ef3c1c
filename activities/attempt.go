package activities

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/step"
)

// call is one attempt of a step, from the bot file's words to the endpoint's answer. What it did is in progress.
type call struct {
	*Activities
	in       step.WebhookInput
	dialect  dialect.Dialect
	context  dialect.Context
	progress step.Progress
}

// attempt makes one request and reads its answer. A request that its endpoint's limits refuse is no attempt.
func (c *call) attempt(ctx context.Context) (answer dialect.Answer, callsBack bool, failed *fault.Fault) {
	request, failed := c.prepare(ctx)
	if failed != nil {
		return answer, false, failed
	}
	pass, refused := c.Limits.Enter(visitOf(c.in.Plan))
	if refused != nil {
		c.Metrics.Refused(c.in.Plan.BotID, c.in.Plan.Step, string(refused.Kind))
		return answer, false, refused
	}
	answer, callsBack, failed = c.send(ctx, request)
	pass.Leave(limit.Result{Fault: failed})
	return answer, callsBack, failed
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
	c.rememberChat(ctx, encoded.Chat)
	secrets := secretsOf{a: c.Activities, plan: c.in.Plan}
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
	timeout, failed := c.timeout()
	return egress.Request{
		Method: http.MethodPost, URL: c.in.Plan.Webhook.URL, Header: header, Body: encoded.Body, Timeout: timeout,
		TLS: identity,
	}, failed
}

// rememberChat lets what the partner sends in the chat find the conversation. Without it the request is still worth making.
func (c *call) rememberChat(ctx context.Context, chat string) {
	if chat == "" {
		return
	}
	err := c.Chats.Remember(ctx, c.in.Plan.BotID, chat, c.in.Event.Subject)
	if err != nil {
		c.Log.WarnContext(ctx, "messages of the adapter's owner may not find their conversation", "event", c.in.Event.ID,
			"adapter", c.in.Plan.Step, "error", err)
	}
}

// timeout is what the attempt may take. One whose late answer is wanted may take its time even when the step's deadline
// comes first; every other ends with the step.
func (c *call) timeout() (time.Duration, *fault.Fault) {
	w, left := c.in.Plan.Webhook, time.Until(c.in.Deadline)
	if left <= 0 {
		return 0, fault.New(fault.Timeout, "the step's time-out of %s passed", w.Timeout)
	}
	if w.LateAnswer == bot.LateAnswerPublish {
		return w.AttemptTimeout.D(), nil
	}
	return min(w.AttemptTimeout.D(), left), nil
}

// offerCallback tells an endpoint where it may answer later.
func (c *call) offerCallback(ctx context.Context, header http.Header) {
	if _, can := c.dialect.(dialect.Deferrer); !can || c.Callbacks == nil || c.in.Plan.Webhook.Mode == bot.ModeBackground {
		return
	}
	workflow := activity.GetInfo(ctx).WorkflowExecution.ID
	header.Set("Hookturn-Callback", c.Callbacks.URL(workflow, c.in.Event.ID, c.in.Deadline))
}

func (c *call) send(ctx context.Context, r egress.Request) (answer dialect.Answer, callsBack bool, failed *fault.Fault) {
	response, attempt, err := c.HTTP.Do(ctx, r)
	attempt.N = len(c.progress.Attempts) + 1
	if failed = fault.Of(err); failed == nil {
		failed = dialect.Classify(c.dialect, response.Status, egress.RetryAfter(response.Header, time.Now()))
	}
	if failed == nil {
		answer, callsBack, failed = c.read(response)
	}
	if failed != nil {
		attempt.Error = string(failed.Kind)
	}
	c.progress.Attempts = append(slices.Clip(c.progress.Attempts), attempt)
	c.note(ctx, c.in, attempt)
	if failed != nil && failed.Status == http.StatusUnauthorized {
		c.forgetToken(r.Header)
	}
	return answer, callsBack, failed
}

// read decodes an answer of a good status. In the background nobody waits for what it says.
func (c *call) read(response *egress.Response) (answer dialect.Answer, callsBack bool, failed *fault.Fault) {
	if c.in.Plan.Webhook.Mode == bot.ModeBackground {
		return dialect.Answer{Success: true}, false, nil
	}
	if d, can := c.dialect.(dialect.Deferrer); can && d.Deferred(response.Status, response.Body) {
		if c.Callbacks == nil {
			return answer, false, fault.New(fault.Config,
				"the endpoint answered 202 to call back, but workers were not told where: set HOOKTURN_GATEWAY_URL")
		}
		return answer, true, nil
	}
	answer, err := c.dialect.Decode(c.context, response.Body)
	return answer, false, fault.Of(err)
}

// visitOf says who wants to ask which endpoint how much.
func visitOf(p bot.Plan) limit.Visit {
	url, _, _ := strings.Cut(p.Webhook.URL, "?")
	return limit.Visit{
		Endpoint: limit.Endpoint{BotID: p.BotID, URL: url}, Revision: p.Revision, Limits: p.Webhook.Limits,
	}
}

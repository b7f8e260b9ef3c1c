package gateway

import (
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/step"
)

// exec runs a channel's script for an HTTP request: in asynchronous mode the caller is answered once Temporal has the
// run, in synchronous mode with what the script returns.
func (o Options) exec(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead { // the mux routes HEAD as GET; HEAD must not run a script
		return httpapi.Only(http.MethodPost, http.MethodGet)(w, r)
	}
	ch, err := o.channel(r, httpapi.Bearer(r))
	if err != nil {
		return err
	}
	if err := permitted(ch, bot.UseExec); err != nil {
		return err
	}
	if !ch.Scripted() || ch.Recv == "" {
		return httpapi.Reject(http.StatusForbidden, fault.Config, "the channel "+ch.Code+" has no script for HTTP")
	}
	if err := o.enter(r, ch.Tenant); err != nil {
		return err
	}
	body, err := httpapi.ReadBody(w, r, httpapi.BodyMax)
	if err != nil {
		return err
	}
	run, err := o.Scripts.prepare(ch, ch.Recv)
	if err == nil {
		err = channel.HTTP(run, ch, r, body, o.peer(r))
	}
	if err != nil {
		return runFailed(ch, err)
	}
	if ch.Opts.Sync {
		run.Timeout = bot.Duration(ch.Timeout())
	}
	if ch.Bare() {
		result, err := o.Scripts.runBare(r.Context(), run, ch.Timeout())
		return o.answerExec(w, r, ch, result, err)
	}
	run.Async = !ch.Opts.Sync
	handle, err := o.Scripts.start(r.Context(), run)
	switch {
	case err != nil:
		return runFailed(ch, err)
	case !ch.Opts.Sync:
		return httpapi.Answer(w, mediaJSON, http.StatusOK, map[string]any{"accepted": true, "id": run.ID})
	}
	result, err := o.Scripts.await(r.Context(), ch.Timeout(), handle)
	return o.answerExec(w, r, ch, result, err)
}

// permitted rejects a channel that does not have the role that the bot file asks for.
func permitted(ch *bot.Channel, use string) error {
	if role := ch.Lacks(use); role != "" {
		return httpapi.Reject(http.StatusForbidden, fault.Blocked, "the channel "+ch.Code+" does not have the role "+role)
	}
	return nil
}

// channel returns the channel that a token opens for this sender.
func (o Options) channel(r *http.Request, token string) (*bot.Channel, error) {
	ch, known := o.Channels.ByToken(httpapi.DigestOf(token))
	switch {
	case !known || token == "":
		return nil, httpapi.Unauthorized()
	case !ch.Admits(o.peer(r)):
		return nil, httpapi.Reject(http.StatusForbidden, fault.Blocked, "the channel does not admit the address of the sender")
	}
	return ch, nil
}

// answerExec writes the response that a script returned, or the problem of its run.
func (o Options) answerExec(w http.ResponseWriter, r *http.Request, ch *bot.Channel, result step.ScriptResult, err error,
) error {
	if err != nil {
		return runFailed(ch, err)
	}
	a, err := channel.DecodeHTTP(result.Value)
	if err != nil {
		return runFailed(ch, err)
	}
	if a.File != "" {
		return afterRun(o.sendFile(w, r, ch.BotID, a.File, a.Status))
	}
	maps.Copy(w.Header(), a.Header)
	// The body is written by a tenant: the browser must use its declared content type only, and must not run it with the
	// gateway's origin. A policy that the script sets applies as well.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Add("Content-Security-Policy", "sandbox")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a write error means that the client has disconnected
	return nil
}

// afterRun returns the problem of a file that a script returned. A request that is sent again runs the script again, so it
// is never asked for.
func afterRun(err error) error {
	p, ok := errors.AsType[*httpapi.Problem](err)
	if !ok || p.Status != http.StatusServiceUnavailable {
		return err
	}
	const detail = "the script did its work, but the file that it returned cannot be read now"
	return httpapi.Reject(http.StatusInternalServerError, p.Kind, detail).Because(err, "reading file of a script failed")
}

// runFailed returns the problem of a run that did not end well. What a script raised is its builder's to read, in the run: a
// caller learns the error code.
func runFailed(ch *bot.Channel, err error) error {
	var f *fault.Fault
	switch {
	case errors.As(err, &f) && f.Kind == fault.ScriptTimeout:
		return httpapi.Reject(http.StatusGatewayTimeout, f.Kind, "the script did not answer in time")
	case errors.As(err, &f) && f.Kind == fault.OutcomeUnknown:
		return httpapi.Reject(http.StatusGatewayTimeout, f.Kind, f.Message).
			Because(err, "outcome of channel script not known", "tenant", ch.Tenant, "bot", ch.Bot, "channel", ch.Code)
	case errors.As(err, &f) && f.Kind == fault.TooLarge:
		return httpapi.Reject(http.StatusRequestEntityTooLarge, f.Kind, "the request, or what the script returned, is too large")
	case errors.As(err, &f) && f.Kind == fault.SandboxUnavailable:
		return httpapi.RejectFor(time.Second, f.Kind, "no sandbox is free: try again")
	case errors.As(err, &f):
		return httpapi.Reject(http.StatusInternalServerError, f.Kind, "the script failed: see its run for the reason")
	}
	return httpapi.Failed(err, "the script has no result").
		Because(err, "running channel script failed", "tenant", ch.Tenant, "bot", ch.Bot, "channel", ch.Code)
}

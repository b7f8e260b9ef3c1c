package gateway

import (
	"errors"
	"maps"
	"net/http"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect/channel"
	"github.com/hookturn/hookturn/internal/fault"
)

// exec runs a channel's script for an HTTP request: in asynchronous mode the caller is answered once Temporal has the
// run, in synchronous mode with what the script returns.
func (o Options) exec(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead { // the mux routes HEAD as GET; HEAD must not run a script
		only(http.MethodPost, http.MethodGet)(w, r)
		return
	}
	ch, ok := o.channel(w, r, bearer(r))
	if !ok || !permitted(w, ch, bot.UseExec) {
		return
	}
	if !ch.Scripted() || ch.Recv == "" {
		refuse(w, http.StatusForbidden, fault.Config, "the channel "+ch.Code+" has no script for HTTP")
		return
	}
	body, ok := readBody(w, r, bodyMax)
	if !ok {
		return
	}
	run, err := o.Scripts.prepare(ch, ch.Recv)
	if err == nil {
		err = channel.HTTP(run, ch, r, body, o.peer(r))
	}
	if err != nil {
		o.refuseRun(w, ch, err)
		return
	}
	if ch.Opts.Sync {
		run.Timeout = bot.Duration(ch.Timeout())
	}
	handle, err := o.Scripts.start(r.Context(), run)
	switch {
	case err != nil:
		o.refuseRun(w, ch, err)
	case !ch.Opts.Sync:
		answer(w, mediaJSON, http.StatusOK, map[string]any{"accepted": true, "id": run.ID})
	default:
		o.answerExec(w, r, ch, handle)
	}
}

// permitted answers a request whose channel does not have the role that the bot file asks for.
func permitted(w http.ResponseWriter, ch *bot.Channel, use string) bool {
	if role := ch.Lacks(use); role != "" {
		refuse(w, http.StatusForbidden, fault.Blocked, "the channel "+ch.Code+" does not have the role "+role)
		return false
	}
	return true
}

// channel is the one that a token opens for this sender; a request that may not in is answered here.
func (o Options) channel(w http.ResponseWriter, r *http.Request, token string) (*bot.Channel, bool) {
	ch, known := o.Channels.ByToken(digestOf(token))
	switch {
	case !known || token == "":
		unauthorized(w)
	case !ch.Admits(o.peer(r)):
		refuse(w, http.StatusForbidden, fault.Blocked, "the channel does not admit the address of the sender")
	default:
		return ch, true
	}
	return nil, false
}

// answerExec waits for the script and writes the response that the script returned.
func (o Options) answerExec(w http.ResponseWriter, r *http.Request, ch *bot.Channel, handle client.WorkflowRun) {
	result, err := o.Scripts.await(r.Context(), ch.Timeout(), handle)
	if err != nil {
		o.refuseRun(w, ch, err)
		return
	}
	a, err := channel.DecodeHTTP(result.Value)
	if err != nil {
		o.refuseRun(w, ch, err)
		return
	}
	if a.File != "" {
		o.sendFile(w, r, ch.BotID, a.File, a.Status)
		return
	}
	maps.Copy(w.Header(), a.Header)
	// The body is written by a tenant: the browser must use its declared content type only, and must not run it with the
	// gateway's origin. A policy that the script sets applies as well.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Add("Content-Security-Policy", "sandbox")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a write error means that the client has disconnected
}

// refuseRun answers a run that did not end well. What a script raised is its builder's to read, in the run: a caller
// learns the error code.
func (o Options) refuseRun(w http.ResponseWriter, ch *bot.Channel, err error) {
	var f *fault.Fault
	var invalid *serviceerror.InvalidArgument
	switch {
	case errors.As(err, &f) && f.Kind == fault.ScriptTimeout:
		refuse(w, http.StatusGatewayTimeout, f.Kind, "the script did not answer in time")
	case errors.As(err, &f) && f.Kind == fault.SandboxUnavailable:
		refuseFor(w, time.Second, f.Kind, "no sandbox is free: try again")
	case errors.As(err, &f):
		refuse(w, http.StatusInternalServerError, f.Kind, "the script failed: see its run for the reason")
	case errors.As(err, &invalid):
		refuse(w, http.StatusRequestEntityTooLarge, fault.TooLarge, "the request is too large to be kept")
	default:
		o.Log.Warn("running a channel's script failed", "tenant", ch.Tenant, "bot", ch.Bot, "channel", ch.Code, "error", err)
		refuseFailed(w, err, "the script has no result")
	}
}

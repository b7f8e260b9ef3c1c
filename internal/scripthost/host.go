// Package scripthost serves the functions of hookturn that a script can call while it runs: a request to the far end of a
// channel, sending by another script, pushing to a WebSocket, publishing an event notification, files. They are those of the
// script's own bot. Secrets never come to a script: it writes a placeholder, which is replaced here.
package scripthost

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/socket"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// Host serves the functions. All fields are required.
type Host struct {
	Bots     Bots
	Channels Channels
	Scripts  Scripts
	HTTP     HTTP
	Sandbox  Sandbox
	PubSub   PubSub
	Files    Files
	Links    Links
	Log      *slog.Logger
}

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
	// Secrets returns all valid values of a secret, newest first, as the bot file of a revision means it.
	Secrets(id schemas.BotID, revision, name string) ([]secret.Value, error)
}

// Channels finds a channel of a bot. *channel.Registry is one.
type Channels interface {
	ByCode(owner schemas.BotID, code string) (*bot.Channel, bool)
}

// Scripts are the texts of scripts by their fingerprints. *bot.Store is one.
type Scripts interface {
	Script(id string) (string, bool)
}

// HTTP makes one request through the egress client. *egress.Client implements it.
type HTTP interface {
	Do(ctx context.Context, r egress.Request) (*egress.Response, schemas.Attempt, error)
}

// WheelsOf returns the packages of a plan's script for the sandbox.
func WheelsOf(code *bot.Code) []sandbox.Wheel {
	var wheels []sandbox.Wheel
	for _, p := range code.Packages {
		wheels = append(wheels, sandbox.Wheel{File: p.Wheel, SHA256: p.SHA256})
	}
	return wheels
}

// Sandbox runs scripts. *sandbox.Sandbox is one.
type Sandbox interface {
	Run(ctx context.Context, j sandbox.Job) (sandbox.Result, *fault.Fault)
}

// PubSub sends messages to gateways. *pubsub.PubSub implements it.
type PubSub interface {
	Notify(owner schemas.BotID, class string, notice []byte) error
	Request(ctx context.Context, address string, request []byte) ([]byte, error)
}

// Files keep what scripts exchange besides JSON. *store.Files is one.
type Files interface {
	Put(ctx context.Context, owner schemas.BotID, file store.File, content io.Reader) (store.File, error)
	Get(ctx context.Context, owner schemas.BotID, id string) (store.File, io.ReadCloser, error)
}

// Links are addresses at which anybody can read a file of a bot, for some minutes. gateway.Links is one.
type Links interface {
	// Ready reports whether addresses can be made. It may wait for an answer of NATS.
	Ready() bool
	// Make returns an address that begins now, and when it ends.
	Make(owner schemas.BotID, id string, now time.Time) (string, time.Time)
}

// Run is the run that calls.
type Run struct {
	schemas.BotID

	Step, EventID string
	TraceID       string    // of the event, for log lines
	Revision      string    // of the bot file that the run began with
	Channel       string    // code of the channel that it runs for; "" = of none
	Connections   []string  // of its bot: the hosts, or host:port, to which it can connect; nil = the egress policy decides
	Until         time.Time // when it ends
	nested        bool      // it was sent by another: it cannot send again
}

// Handler returns the functions that a run can call, each at its own path.
func (h *Host) Handler(r Run) http.Handler {
	a := &api{Host: h, run: r}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /request", serve(a.request))
	mux.HandleFunc("POST /send", serve(a.send))
	mux.HandleFunc("POST /send_ws", serve(a.send))
	mux.HandleFunc("POST /push", serve(a.push))
	mux.HandleFunc("POST /publish", serve(a.publish))
	mux.HandleFunc("POST /put_file", serve(a.putFile))
	mux.HandleFunc("POST /get_file", serve(a.getFile))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mux.ServeHTTP(w, q.WithContext(telemetry.WithTrace(q.Context(), telemetry.TraceID(r.TraceID))))
	})
}

// api is the functions of one run.
type api struct {
	*Host
	run Run
}

// serve returns a handler that decodes the parameters of a call and writes its result, or the error as a response.
func serve[Q any](call func(ctx context.Context, q Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		var result any
		err := json.NewDecoder(r.Body).Decode(&q)
		if f, known := errors.AsType[*fault.Fault](err); known {
			err = f
		} else if err != nil {
			err = fault.New(fault.BadEvent, "hookturn cannot read what the script asks")
		} else {
			result, err = call(r.Context(), q)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			f := fault.Of(err)
			w.WriteHeader(http.StatusUnprocessableEntity)
			result = map[string]any{"kind": f.Kind, "detail": f.Message}
		}
		_ = json.NewEncoder(w).Encode(result) // a script that is gone needs no result
	}
}

// channel finds a channel of the run's bot; "" is the one that it runs for.
func (a *api) channel(code string) (*bot.Channel, error) {
	if code == "" {
		code = a.run.Channel
	}
	if code == "" {
		return nil, fault.New(fault.Config, "the script runs for no channel: name one")
	}
	ch, ok := a.Channels.ByCode(a.run.BotID, code)
	if !ok {
		return nil, fault.New(fault.Config, "the bot has no channel %q", code)
	}
	return ch, nil
}

type sendParams struct {
	Channel    string          `json:"channel"`
	Connection string          `json:"connection"`
	Data       json.RawMessage `json:"data"`
}

// send runs the script by which a channel is sent to, and returns its result.
func (a *api) send(ctx context.Context, q sendParams) (any, error) {
	ch, err := a.channel(q.Channel)
	if err != nil {
		return nil, err
	}
	name, protocol := ch.Send, "send"
	if q.Connection != "" {
		name, protocol = ch.SendWS, "send_ws"
	}
	switch {
	case a.run.nested:
		return nil, fault.New(fault.Blocked, "a script that was sent for cannot send for another")
	case !ch.Scripted() || name == "":
		return nil, fault.New(fault.Config, "channel %s has no script to send by", ch.Code)
	}
	plan, text, err := a.script(name)
	if err != nil {
		return nil, err
	}
	run := Run{
		BotID: a.run.BotID, Step: plan.Step, EventID: a.run.EventID, TraceID: a.run.TraceID, Channel: ch.Code,
		Connections: plan.Code.Connections, nested: true,
		Until: earlier(a.run.Until, time.Now().Add(plan.Code.Timeout.D())),
	}
	if q.Data == nil {
		q.Data = json.RawMessage("null")
	}
	params, err := paramsOf(ch.Entity(), protocol, q.Data, q.Connection)
	if err != nil {
		return nil, err
	}
	event, err := json.Marshal(ch.Grants())
	if err != nil {
		return nil, err
	}
	r, f := a.Sandbox.Run(ctx, sandbox.Job{
		BotID: run.BotID, Step: run.Step, EventID: run.EventID, TraceID: run.TraceID, Script: text, Body: string(q.Data),
		Timeout: time.Until(run.Until), Event: event, Params: params, Host: a.Handler(run),
		Packages: WheelsOf(plan.Code), Connections: run.Connections,
	})
	if f != nil {
		a.Log.InfoContext(ctx, "sending script failed", "tenant", run.Tenant, "bot", run.Bot, "channel", ch.Code,
			"event", run.EventID, "kind", f.Kind, "log", len(r.Log))
		return nil, f
	}
	return map[string]json.RawMessage{"value": r.Value}, nil
}

// script finds a script of the run's bot by its name.
func (a *api) script(name string) (bot.Plan, string, error) {
	b, ok := a.Bots.Current().Bot(a.run.BotID)
	if !ok {
		return bot.Plan{}, "", fault.New(fault.UnknownBot, "the bot is gone")
	}
	plan, err := b.ScriptPlan(name)
	if err != nil {
		return bot.Plan{}, "", err
	}
	text, ok := a.Scripts.Script(plan.Code.Script)
	if !ok {
		return bot.Plan{}, "", fault.New(fault.Config, "script %s is not among this worker's bot files", name)
	}
	return plan, text, nil
}

func paramsOf(values ...any) ([]json.RawMessage, error) {
	var params []json.RawMessage
	for _, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		params = append(params, text)
	}
	return params, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

type pushParams struct {
	Connection string          `json:"connection"`
	Name       string          `json:"name"`
	Data       json.RawMessage `json:"data"`
}

// push sends a message to one websocket, on whichever gateway it is.
func (a *api) push(ctx context.Context, q pushParams) (any, error) {
	address, ok := socket.Address(q.Connection)
	if !ok || !schemas.IsToken(address) {
		return nil, fault.New(fault.Gone, "there is no such connection")
	}
	request, err := socket.Push(a.run.BotID, q.Connection, q.Name, q.Data)
	if err != nil {
		return nil, err
	}
	answer, err := a.PubSub.Request(ctx, address, request)
	if err != nil {
		return nil, err
	}
	return struct{}{}, socket.Pushed(answer)
}

type publishParams struct {
	Class  string          `json:"event_class"`
	Object string          `json:"object"`
	Data   json.RawMessage `json:"data"`
}

// publish sends an event notification to the WebSockets that are subscribed to its class.
func (a *api) publish(_ context.Context, q publishParams) (any, error) {
	if schemas.IsSystemClass(q.Class) {
		return nil, fault.New(fault.BadEvent, "invalid event_class: classes that begin with hookturn are published by "+
			"hookturn only")
	}
	notice, err := schemas.NewNotice(a.run.BotID, q.Class, q.Object, time.Now(), q.Data)
	if err != nil {
		return nil, fault.New(fault.BadEvent, "%s", err)
	}
	text, err := schemas.Marshal(notice)
	if err != nil {
		return nil, err
	}
	if err := a.PubSub.Notify(a.run.BotID, q.Class, text); err != nil {
		return nil, err
	}
	return map[string]string{"id": notice.ID}, nil
}

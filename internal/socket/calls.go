package socket

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// Capabilities of a websocket, as a channel's filter names them.
const (
	capabilityMessage   = "msg"
	capabilityScript    = "svcscript"
	capabilitySubscribe = "subscr"
)

// verb is what a client may ask for.
type verb struct {
	capability string // that the channel must have; "" = none
	slow       bool   // it runs beside others, and its answer comes when it comes
	do         func(c *connection, ctx context.Context, asked call) (result, error)
}

// verbs are all names of calls. It is a function, for what a verb does refers to it.
func verbs() map[string]verb {
	return map[string]verb{
		"message":         {capabilityMessage, true, (*connection).message},
		"start_svcscript": {capabilityScript, true, (*connection).startScript},
		"abort_svcscript": {capabilityScript, false, (*connection).abortScript},
		"subscribe":       {capabilitySubscribe, false, (*connection).subscribe},
		"connection_info": {"", false, (*connection).info},
	}
}

// take answers a call, now or when it is done.
func (c *connection) take(asked call) {
	v, known := verbs()[asked.name]
	var refused error
	switch {
	case !known:
		refused = invalid("there is no call of this name")
	case v.capability != "" && !c.channel().Capable(v.capability):
		refused = fault.New(fault.Blocked, "the channel does not have the capability %s", v.capability)
	case v.slow && !c.channel().Scripted():
		refused = fault.New(fault.Config, "a subscriber channel runs no scripts")
	}
	if refused == nil && v.slow {
		ctx, finish, err := c.begin(asked)
		if err == nil {
			go func() {
				defer c.running.Done()
				r, err := v.do(c, ctx, asked)
				finish() // the client may use the qid again as soon as it has the answer
				c.count(asked.name, err)
				c.answer(asked, r, err)
			}()
			return
		}
		refused = err
	}
	var r result
	if refused == nil {
		r, refused = v.do(c, context.Background(), asked)
	}
	c.count(asked.name, refused)
	c.answer(asked, r, refused)
}

// message runs the channel's script for websockets.
func (c *connection) message(ctx context.Context, asked call) (result, error) {
	ch := c.channel()
	if ch.RecvWS == "" {
		return nil, fault.New(fault.Config, "the channel has no script for messages")
	}
	data, err := c.hub.Scripts.Run(ctx, ch, ch.RecvWS, ch.Timeout(), func(run *step.ScriptRun) error {
		return channel.Message(run, ch, maps.Collect(asked.body.All()), c.id, c.client.Sender)
	})
	if err != nil {
		return nil, err
	}
	value, err := channel.DecodeData(data)
	return result{"data": value}, err
}

// Bounds of start_svcscript.
const (
	startParams    = 20
	startTimeout   = 10_000 // ms, when the client does not say
	startTimeoutMx = 60_000
)

// startScript runs a script of the bot by its name.
func (c *connection) startScript(ctx context.Context, asked call) (result, error) {
	code, err := asked.text("code")
	if err != nil {
		return nil, err
	}
	if code == "" {
		return nil, invalid("code is missing: the name of a script")
	}
	timeout, err := asked.number("timeout", 1, startTimeoutMx, startTimeout)
	if err != nil {
		return nil, err
	}
	params := make([]json.RawMessage, 0, startParams)
	for n := 1; n <= startParams; n++ {
		if value, given := asked.body.Get("startparam" + strconv.Itoa(n)); given {
			for len(params) < n-1 {
				params = append(params, json.RawMessage("null"))
			}
			params = append(params, value)
		}
	}
	ch := c.channel()
	value, err := c.hub.Scripts.Run(ctx, ch, code, time.Duration(timeout)*time.Millisecond,
		func(run *step.ScriptRun) error { return channel.Start(run, ch, params) })
	if err != nil {
		if ctx.Err() != nil {
			err = fault.New(fault.Cancelled, "the script was aborted")
		}
		return nil, err
	}
	variables, err := channel.DecodeData(value)
	return result{"result": "ok", "data": map[string]any{"variables": variables}}, err
}

// abortScript stops the script that a call with the same qid has started.
func (c *connection) abortScript(_ context.Context, asked call) (result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, runs := c.calls[string(asked.qid)]
	if !runs {
		return nil, invalid("no call with this qid runs")
	}
	cancel()
	return result{"result": "ok"}, nil
}

// info returns who is connected, and with what rights.
func (c *connection) info(context.Context, call) (result, error) {
	ch := c.channel()
	capabilities := []string{}
	for _, name := range []string{capabilityMessage, capabilityScript, capabilitySubscribe} {
		if ch.Capable(name) && (name == capabilitySubscribe || ch.Scripted()) {
			capabilities = append(capabilities, name)
		}
	}
	now := time.Now().UTC()
	return result{
		"result": "ok", "site": c.hub.Site, "ownertype": "token", "domain": ch.Tenant, "sessionid": c.id,
		"connectionid": c.id, "capabilities": slices.Clip(capabilities), "datetime": now.Format(time.RFC3339Nano),
		"timestamp": now.UnixMilli(), "integration_point_id": ch.ID, "integration_point_code": ch.Code,
		"integration_point_type": ch.Type, "roles": orEmpty(ch.Opts.Roles),
	}, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

package step

import (
	"encoding/json"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// ScriptRun is one run of a script for a channel. Params and Body come from the caller of the gateway.
type ScriptRun struct {
	ID      string       `json:"id"`      // of the request that asked for it
	Plan    bot.Plan     `json:"plan"`    // of the script
	Channel string       `json:"channel"` // code of the channel
	Timeout bot.Duration `json:"timeout"`

	Params    []json.RawMessage `json:"params"`          // startparam(1) and so on
	Event     json.RawMessage   `json:"event,omitempty"` // members of event beside the body
	Body      []byte            `json:"body,omitempty"`
	BodyParam int               `json:"body_param,omitempty"` // the place of the body among all params, from 1; 0 = none
	// BodyData reports that Body is JSON: its value, and not its text, is the parameter at BodyParam, and is the member data
	// of the message in Event, which both lack it. A run has the data of a message once.
	BodyData bool `json:"body_data,omitempty"`

	// Once requests that the script runs only if no code worker has begun it for this run; false: it is known that none has.
	Once bool `json:"once,omitempty"`
	// Started is when the run of the workflow started, by the server's clock: a claim of the script is not older. Zero =
	// unknown (workers of earlier releases).
	Started time.Time `json:"started,omitzero"`
	// Async reports that the caller was answered when the run started. No caller waits, so that the script may begin late.
	Async bool `json:"async,omitempty"`
}

const (
	// AsyncWithin is how long after the start of its run a script ends at the latest for which no caller waits.
	AsyncWithin = 24 * time.Hour
	// AsyncRunTimeout is the timeout of its run. It is much longer: no worker reports a run that times out, and after
	// an outage of days one still has to report that the script was not run.
	AsyncRunTimeout = 7 * 24 * time.Hour
)

// TraceID is the trace of the request.
func (r ScriptRun) TraceID() string {
	return schemas.TraceIDOf("", r.Plan.WithConversation(""), r.ID)
}

// ScriptResult is the result of a ScriptRun.
type ScriptResult struct {
	Value json.RawMessage `json:"value,omitempty"` // what main returned
	Fault *fault.Fault    `json:"fault,omitempty"` // why the run failed; nil = it did not
	Log   string          `json:"log,omitempty"`   // what the script wrote, for the bot's builder
	// NotRun reports, beside Fault, that the script did not run, or that it is not known how it ended.
	NotRun bool `json:"not_run,omitempty"`
}

// ScriptRequest is a request to a code worker: to run the script of a run, to report on it, or to stop it
// (internal/codeworker).
type ScriptRequest struct {
	Run  ScriptRun `json:"run"`
	Stop bool      `json:"stop,omitempty"`
}

// ScriptAttempt is the state of the first attempt at a script: the answer to a ScriptRequest, and the result of
// ActivityAttemptScript.
type ScriptAttempt struct {
	ScriptResult

	// Running is the name of the code worker that has claimed the script and can report on it; "" = the attempt has ended.
	Running string `json:"running,omitempty"`
	// NotBegun reports that this attempt did not begin the script: an activity runs it.
	NotBegun bool `json:"not_begun,omitempty"`
	// Unclear reports, beside NotBegun, that another attempt may have begun the script: the activity has Once.
	Unclear bool `json:"unclear,omitempty"`
}

package bot

import (
	"encoding/json"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// Dialects that more than their own package knows: of bot files that name none and of code steps, of adapters, of
// channels, and the one whose endpoints call back.
const (
	DialectHaptik  = "haptik"
	DialectTwoWay  = "twoway"
	DialectChannel = "channel"
	DialectPlain   = "plain"
)

// What happens to the chat when a step fails.
const (
	OnFailureBotBreak    = "bot_break"
	OnFailureHandover    = "handover"
	OnFailureContinue    = "continue"
	OnFailureUndelivered = "undelivered"
)

// How events of one conversation are ordered.
const (
	OrderingConversation = "conversation"
	OrderingNone         = "none"
)

// Plan is the complete, resolved configuration of one step. The starter adds it to the workflow's history when the event
// arrives, so that a reload does not change a running step. It contains the names of secrets, never their values.
type Plan struct {
	schemas.BotID

	Step     string            `json:"step"`
	Dialect  string            `json:"dialect"`
	Revision string            `json:"revision,omitempty"` // fingerprint of the bot file
	Requires []string          `json:"requires,omitempty"` // mandatory entities, in the file's order
	Fresh    []string          `json:"fresh,omitempty"`    // those that must be newer than the step's request
	EndStep  bool              `json:"end_step,omitempty"`
	Env      map[string]string `json:"env,omitempty"` // env_variables of the running environment

	Webhook *Webhook `json:"webhook,omitempty"`
	Adapter *Adapter `json:"adapter,omitempty"` // twoway: the adapter that the webhook is an endpoint of
	Code    *Code    `json:"code,omitempty"`    // a code step; Webhook is nil then

	OnFailure string `json:"on_failure"`
	BotBreak  Texts  `json:"bot_break,omitempty"`
}

// Webhook configures the requests to a step's endpoint.
type Webhook struct {
	URL           string            `json:"url"`                     // absolute
	Secret        string            `json:"secret,omitempty"`        // name of the signing secret; "" = unsigned
	Signature     []string          `json:"signature,omitempty"`     // schemes, all of which are sent
	Rotation      string            `json:"rotation,omitempty"`      // RotationRetry; "" = the newest value signs
	Headers       map[string]string `json:"headers,omitempty"`       // canonical names
	Authorization string            `json:"authorization,omitempty"` // name of the secret that is the whole header value

	Timeout        Duration `json:"timeout"`         // of the whole step, attempts and waits included
	AttemptTimeout Duration `json:"attempt_timeout"` // of one HTTP request
	Retry          Retry    `json:"retry"`
	// ExecutionAuto, ExecutionLocal or ExecutionActivity; "" = ExecutionAuto
	Execution string `json:"execution,omitempty"`

	ProgressAfter   Duration `json:"progress_after,omitempty"` // soft deadline; 0 = none
	ProgressMessage Texts    `json:"progress_message,omitempty"`
	LateAnswer      string   `json:"late_answer,omitempty"` // LateAnswerPublish; "" = drop
	Mode            string   `json:"mode,omitempty"`        // ModeBackground; "" = sync

	Limits Limits `json:"limits,omitzero"`

	Params   map[string]json.RawMessage `json:"params,omitempty"`   // loyjoy: the configured ones
	Request  string                     `json:"request,omitempty"`  // plain: jq program; "" = the event itself
	Response string                     `json:"response,omitempty"` // plain: jq program; "" = the answer as it is
	OAuth2   *OAuth2                    `json:"oauth2,omitempty"`   // plain: where a bearer token is fetched
	TLS      *TLS                       `json:"tls,omitempty"`      // client certificate and CA
}

// Code is a script of a code step. Histories hold its fingerprint: workers have the scripts among their bot files.
type Code struct {
	File    string   `json:"file"`   // as the bot file names it
	Script  string   `json:"script"` // SHA-256 of its text, in hex
	Timeout Duration `json:"timeout"`

	Packages    []Package `json:"packages,omitempty"`   // wheels that the script can import
	Connections []string  `json:"connections,omitzero"` // hosts to which it can connect; absent = the egress policy alone
}

// Limits limits the requests to an endpoint on one worker. A denied request does not count as an attempt.
type Limits struct {
	PerSecond   float64  `json:"per_second,omitempty"`  // requests a second; 0 = no limit
	Burst       int      `json:"burst,omitempty"`       // requests that may come at once under PerSecond; 0 = one second's
	Concurrency int      `json:"concurrency,omitempty"` // requests in flight; 0 = the worker's default
	TripAfter   int      `json:"trip_after,omitempty"`  // failures in a row that open the circuit; 0 = the worker's default
	OpenFor     Duration `json:"open_for,omitempty"`    // wait before a probe; 0 = the worker's default
	MaxPause    Duration `json:"max_pause,omitempty"`   // longest pause that the endpoint can ask for; 0 = the worker's default
}

// OAuth2 configures a client-credentials grant (RFC 6749, section 4.4).
type OAuth2 struct {
	TokenURL     string   `json:"token_url"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"` // name of the secret
	Scopes       []string `json:"scopes,omitempty"`
	Audience     string   `json:"audience,omitempty"`
}

// TLS names the secrets, all PEM, of an endpoint that requires a client certificate or has a private CA.
type TLS struct {
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	CA          string `json:"ca,omitempty"`
}

// Adapter describes a TwoWay adapter and its chats.
type Adapter struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	IsBot   bool   `json:"is_bot,omitempty"`
	Channel string `json:"channel"`        // of the chat when the event does not set it
	Host    string `json:"host"`           // conversationHostId of the chat when the event does not set it
	Body    string `json:"body,omitempty"` // template of the handover notification
	// Events is the URL of the endpoint that gets the router's own events about sessions; "" = none.
	Events string `json:"events,omitempty"`
}

// How the first attempt of a webhook runs.
const (
	// ExecutionAuto is the default: as a local activity, or as a normal activity when the endpoint is slow.
	ExecutionAuto = "auto"
	// ExecutionLocal runs every first attempt as a local activity.
	ExecutionLocal = "local"
	// ExecutionActivity runs every first attempt as a normal activity, which the Temporal UI shows as pending. It costs two
	// more workflow tasks.
	ExecutionActivity = "activity"
)

// Retry bounds the attempts of a webhook inside the step's timeout.
type Retry struct {
	MaxAttempts int      `json:"max_attempts"` // 1 = never retry
	Initial     Duration `json:"initial"`      // wait before the second attempt
	Max         Duration `json:"max"`          // longest wait between two attempts
	Backoff     float64  `json:"backoff"`      // factor between two waits
}

// Duration is a time.Duration that reads and writes itself as Go spells it ("1m30s"), in bot files and in histories.
type Duration time.Duration

// D returns the duration as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns the duration in Go's format.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

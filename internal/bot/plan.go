package bot

import "time"

// Dialects: the JSON that a partner's endpoint speaks.
const (
	DialectHaptik  = "haptik"
	DialectLoyJoy  = "loyjoy"
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

// Plan is all that a bot file says about one step, resolved and complete. It is the form in which configuration travels in
// a workflow's history: the starter makes it when the event arrives, so a reload never changes a running step, and it
// holds the names of secrets, never their values.
type Plan struct {
	Tenant   string            `json:"tenant"`
	Bot      string            `json:"bot"`
	Step     string            `json:"step"`
	Dialect  string            `json:"dialect"`
	Requires []string          `json:"requires,omitempty"` // mandatory entities, in the file's order
	EndStep  bool              `json:"end_step,omitempty"`
	Env      map[string]string `json:"env,omitempty"` // env_variables of the running environment

	Webhook *Webhook `json:"webhook,omitempty"`

	OnFailure string `json:"on_failure"`
	BotBreak  Texts  `json:"bot_break,omitempty"`
}

// Webhook is how a step's endpoint is called.
type Webhook struct {
	URL           string            `json:"url"`                     // absolute
	Secret        string            `json:"secret,omitempty"`        // name of the signing secret; "" = unsigned
	Signature     []string          `json:"signature,omitempty"`     // schemes, all of which are sent
	Headers       map[string]string `json:"headers,omitempty"`       // canonical names
	Authorization string            `json:"authorization,omitempty"` // name of the secret that is the whole header value

	Timeout        Duration `json:"timeout"`         // of the whole step, attempts and waits included
	AttemptTimeout Duration `json:"attempt_timeout"` // of one HTTP request
	Retry          Retry    `json:"retry"`
	Execution      string   `json:"execution,omitempty"` // ExecutionActivity: even the first attempt is a normal activity
}

// ExecutionActivity asks for the first attempt to be a normal activity: visible as pending in the Temporal UI, at the price
// of two more workflow tasks. For endpoints that are known to be slow.
const ExecutionActivity = "activity"

// Retry bounds the attempts of a webhook inside the step's timeout.
type Retry struct {
	MaxAttempts int      `json:"max_attempts"` // 1 = never retry
	Initial     Duration `json:"initial"`      // wait before the second attempt
	Max         Duration `json:"max"`          // longest wait between two attempts
	Backoff     float64  `json:"backoff"`      // factor between two waits
}

// Texts is one text in several languages: BCP 47 tag, or "default", to text.
type Texts map[string]string

// For picks the text for a language: the exact tag, then its primary subtag ("hi" for "hi-IN"), then "default", then "".
func (t Texts) For(language string) string {
	for i := len(language); i > 0; i-- {
		if i == len(language) || language[i] == '-' {
			if text, ok := t[language[:i]]; ok {
				return text
			}
		}
	}
	return t["default"]
}

// Duration is a time.Duration that reads and writes itself as Go spells it ("1m30s"), in bot files and in histories.
type Duration time.Duration

// D is the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as Go spells it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

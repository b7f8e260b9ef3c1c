package bot

import (
	"reflect"

	"github.com/goccy/go-yaml/ast"

	"github.com/hookturn/hookturn/internal/secret"
)

// How a request is signed.
const (
	SignatureHubSHA1   = "hub-sha1"
	SignatureHubSHA256 = "hub-sha256"
	SignatureStandard  = "standard"
)

// RotationRetry signs the next attempt with the next value of the secret after an endpoint has answered 401.
const RotationRetry = "retry"

// What happens to an answer that comes after the step's timeout.
const (
	LateAnswerDrop    = "drop"
	LateAnswerPublish = "publish"
)

// Modes of a step: sync waits for the endpoint's answer, background does not.
const (
	ModeSync       = "sync"
	ModeBackground = "background"
)

// Environments: which base URL and which environment variables a bot uses.
const (
	environmentTest       = "test"
	environmentProduction = "production"
)

// file is a bot file as it is written (contract, section 3). A pointer is nil when the key is absent and its default
// depends on something else; every other default is what newFile sets.
type file struct {
	Bot                string                  `yaml:"bot"`
	Tenant             string                  `yaml:"tenant"`
	Dialect            string                  `yaml:"dialect"`
	Environment        string                  `yaml:"environment"`
	BaseURLEnvironment string                  `yaml:"base_url_environment"`
	BaseURLs           byEnvironment           `yaml:"base_urls"`
	EnvVariables       fileEnv                 `yaml:"env_variables"`
	Secrets            map[string]refs         `yaml:"secrets"`
	BotBreak           Texts                   `yaml:"bot_break"`
	BotPaused          Texts                   `yaml:"bot_paused"`
	HumanAssistance    bool                    `yaml:"human_assistance"`
	Ordering           string                  `yaml:"ordering"`
	IdleTimeout        Duration                `yaml:"idle_timeout"`
	Steps              map[string]*fileStep    `yaml:"steps"`
	Adapters           map[string]*fileAdapter `yaml:"adapters"`
	Channels           []fileChannel           `yaml:"channels"`
	ChannelTypes       []fileChannelType       `yaml:"channel_types"`
	AbsoluteURLs       *bool                   `yaml:"absolute_urls"`
	ChannelRoles       channelRoles            `yaml:"channel_roles"`
	Scripts            map[string]*fileCode    `yaml:"scripts"`
	Packages           []filePackage           `yaml:"packages"`
	Connections        []string                `yaml:"connections"`
	Visibility         fileVisibility          `yaml:"visibility"`
	Retention          fileRetention           `yaml:"retention"`
}

type byEnvironment struct {
	Test       string `yaml:"test"`
	Production string `yaml:"production"`
}

type fileEnv struct {
	Test       map[string]string `yaml:"test"`
	Production map[string]string `yaml:"production"`
}

type fileStep struct {
	Requires []fileRequirement `yaml:"requires"`
	EndStep  bool              `yaml:"end_step"`
	Webhook  *fileWebhook      `yaml:"webhook"`
	Code     *fileCode         `yaml:"code"`
}

type fileWebhook struct {
	Dialect         string             `yaml:"dialect"` // "": the bot's
	Path            *string            `yaml:"path"`
	URL             *string            `yaml:"url"`
	Secret          string             `yaml:"secret"`
	Signature       *[]string          `yaml:"signature"`
	Rotation        string             `yaml:"rotation"`
	Headers         map[string]string  `yaml:"headers"`
	Authorization   *fileAuthorization `yaml:"authorization"`
	Timeout         *Duration          `yaml:"timeout"`
	AttemptTimeout  *Duration          `yaml:"attempt_timeout"`
	ProgressAfter   *Duration          `yaml:"progress_after"`
	ProgressMessage Texts              `yaml:"progress_message"`
	LateAnswer      string             `yaml:"late_answer"`
	Retry           fileRetry          `yaml:"retry"`
	OnFailure       string             `yaml:"on_failure"`
	Mode            string             `yaml:"mode"`
	Execution       string             `yaml:"execution"`
	Request         *string            `yaml:"request"`
	Response        *string            `yaml:"response"`
	Params          map[string]anyJSON `yaml:"params"`
	OAuth2          *fileOAuth2        `yaml:"oauth2"`
	TLS             *fileTLS           `yaml:"tls"`
	Limits          fileLimits         `yaml:"limits"`
}

type fileOAuth2 struct {
	TokenURL string   `yaml:"token_url"`
	ClientID string   `yaml:"client_id"`
	Secret   string   `yaml:"secret"`
	Scopes   []string `yaml:"scopes"`
	Audience string   `yaml:"audience"`
}

type fileTLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	CA          string `yaml:"ca"`
}

type fileLimits struct {
	PerSecond   *float64  `yaml:"per_second"`
	Burst       *int      `yaml:"burst"`
	Concurrency *int      `yaml:"concurrency"`
	TripAfter   *int      `yaml:"trip_after"`
	OpenFor     *Duration `yaml:"open_for"`
	MaxPause    *Duration `yaml:"max_pause"`
}

// fileAdapter is a TwoWay adapter (contract, section 4.3).
type fileAdapter struct {
	Account           string                `yaml:"account"`
	ProductToken      string                `yaml:"product_token"`
	IsBot             bool                  `yaml:"is_bot"`
	Channel           string                `yaml:"channel"`
	Host              string                `yaml:"host"`
	MessageEndpoint   *fileMessageEndpoint  `yaml:"message_endpoint"`
	HandoverEndpoint  *fileHandoverEndpoint `yaml:"handover_endpoint"`
	EventsEndpoint    *fileEventsEndpoint   `yaml:"events_endpoint"`
	ExtraMessageTypes []string              `yaml:"extra_message_types"`
}

type fileMessageEndpoint struct {
	URL     string            `yaml:"url"`
	Headers map[string]string `yaml:"headers"`
}

type fileHandoverEndpoint struct {
	URL     string            `yaml:"url"`
	Body    string            `yaml:"body"`
	Headers map[string]string `yaml:"headers"`
}

// fileEventsEndpoint has no headers: the vendor's has none either.
type fileEventsEndpoint struct {
	URL           string `yaml:"url"`
	SessionEvents *bool  `yaml:"session_events"` // nil: true
}

type fileAuthorization struct {
	Secret string `yaml:"secret"`
}

type fileRetry struct {
	MaxAttempts *int      `yaml:"max_attempts"`
	Initial     *Duration `yaml:"initial"`
	Max         *Duration `yaml:"max"`
	Backoff     *float64  `yaml:"backoff"`
}

type fileCode struct {
	File    string    `yaml:"file"`
	Timeout *Duration `yaml:"timeout"`
}

// refs is one secret: a reference, or a list of them while it is rotated, newest first.
type refs []secret.Ref

func (r *refs) decodeNode(d *document, path string, n ast.Node) bool {
	if _, many := n.(*ast.SequenceNode); many {
		return d.decodeSlice(path, n, reflect.ValueOf((*[]secret.Ref)(r)).Elem())
	}
	var one secret.Ref
	ok := d.decode(path, n, reflect.ValueOf(&one).Elem())
	if ok {
		*r = refs{one}
	}
	return ok
}

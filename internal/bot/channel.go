package bot

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/schemas"
)

// Types of channels that every bot knows; a bot file may declare more of them under channel_types.
const (
	ChannelPublic     = "public"
	ChannelSubscriber = "subscriber" // system events only: its scripts are never run
)

// recvTimeout is how long a channel waits for its script when it does not say (contract, section 4.4).
const recvTimeout = 10 * time.Second

// Channel is an integration channel: what an outside system may ask of a bot, and how the bot's scripts reach that system
// (contract, section 4.4). Secrets are held by their names.
type Channel struct {
	schemas.BotID

	ID           string `json:"id"` // a UUID unless its author chose another
	Code         string `json:"code"`
	Type         string `json:"type"`
	TokenLocal   string `json:"token_local,omitempty"`  // name of the secret that callers show
	TokenRemote  string `json:"token_remote,omitempty"` // names of the secrets that the far end wants
	TokenRemote2 string `json:"token_remote2,omitempty"`

	IPMask []netip.Prefix `json:"ip_mask,omitempty"` // of senders; none = any
	URL    string         `json:"url,omitempty"`     // base URL of the far end

	Recv   string `json:"recv_svcscriptcode,omitempty"` // names of scripts of the bot file
	Send   string `json:"send_svcscriptcode,omitempty"`
	RecvWS string `json:"recv_svcscriptcode_ws,omitempty"`
	SendWS string `json:"send_svcscriptcode_ws,omitempty"`
	Runs   string `json:"run,omitempty"` // RunWorkflow or RunBare; "" = RunWorkflow

	Opts ChannelOpts                `json:"opts"`
	Ext  map[string]json.RawMessage `json:"ext,omitempty"`

	needs map[string]string // roles, by use
}

// channelRoles are roles that a channel of the bot must have to be used in a way; "" = none is needed.
type channelRoles struct {
	Exec          string `yaml:"exec"`
	WS            string `yaml:"ws"`
	Files         string `yaml:"files"`
	Subscriptions string `yaml:"subscriptions"`
}

// Uses of a channel that may need a role.
const (
	UseExec          = "exec"
	UseWS            = "ws"
	UseFiles         = "files"
	UseSubscriptions = "subscriptions"
)

// Lacks returns the role that a use of the channel needs and that the channel does not have; "" = the use is allowed.
func (c *Channel) Lacks(use string) string {
	role := c.needs[use]
	if role == "" || slices.Contains(c.Opts.Roles, role) {
		return ""
	}
	return role
}

// ChannelOpts are a channel's options, named as the vendor names them.
type ChannelOpts struct {
	Title        string   `json:"title,omitempty"`
	Comment      string   `json:"comment,omitempty"`
	AllowFiles   bool     `json:"allow_files_api,omitempty"`
	Capabilities []string `json:"filter_capabilities,omitzero"` // of its WebSocket connections; nil = all
	Sync         bool     `json:"issync,omitempty"`             // HTTP callers wait for the script
	RecvTimeout  int      `json:"recv_timeout,omitempty"`       // seconds; 0 = 10
	Roles        []string `json:"roles,omitempty"`
	UserID       string   `json:"userid,omitempty"`
}

// Grants returns what every script of the channel finds in event: the roles under which it runs, and the id of the user.
func (c *Channel) Grants() map[string]any {
	roles := c.Opts.Roles
	if roles == nil {
		roles = []string{}
	}
	return map[string]any{"roles": roles, "userid": c.Opts.UserID}
}

// Timeout is how long the channel waits for its script.
func (c *Channel) Timeout() time.Duration {
	if c.Opts.RecvTimeout == 0 {
		return recvTimeout
	}
	return time.Duration(c.Opts.RecvTimeout) * time.Second
}

// Admits reports whether a sender's address is inside the channel's mask.
func (c *Channel) Admits(sender netip.Addr) bool {
	return len(c.IPMask) == 0 || slices.ContainsFunc(c.IPMask, func(p netip.Prefix) bool { return p.Contains(sender.Unmap()) })
}

// Capable reports whether the channel's WebSocket connections have a capability.
func (c *Channel) Capable(name string) bool {
	return c.Opts.Capabilities == nil || slices.Contains(c.Opts.Capabilities, name)
}

// How the scripts of a channel run.
const (
	// RunWorkflow is the default: as a workflow, which a failure of the gateway or of a worker does not end.
	RunWorkflow = "workflow"
	// RunBare runs a script in a worker without a workflow: quicker, and with nothing to inspect or to repeat.
	RunBare = "bare"
)

// Bare reports whether the channel's scripts run without a workflow.
func (c *Channel) Bare() bool { return c.Runs == RunBare }

// Scripted reports whether the channel runs scripts.
func (c *Channel) Scripted() bool { return c.Type != ChannelSubscriber }

// Entity is the channel as its scripts see it: without anything about tokens.
func (c *Channel) Entity() Channel {
	entity := *c
	entity.TokenLocal, entity.TokenRemote, entity.TokenRemote2 = "", "", ""
	return entity
}

// Channels lists the bot's own channels in the file's order. Do not change them.
func (b *Bot) Channels() []*Channel { return b.channels }

// Channel finds a channel of the bot file by its code.
func (b *Bot) Channel(code string) (*Channel, bool) {
	ch, ok := b.channelsByCode[code]
	return ch, ok
}

// TokenSums are the SHA-256 of the tokens that open a channel of this bot by a secret: several while it is rotated.
func (b *Bot) TokenSums(ch *Channel) [][sha256.Size]byte {
	return slices.Clone(b.sums[ch.TokenLocal])
}

// ChannelsByToken returns the channels of bot files that have a token, by the SHA-256 of the token: at most one of each
// tenant. A token that several have opens none of them.
func (s *Set) ChannelsByToken(sum [sha256.Size]byte) []*Channel { return s.tokens[sum] }

// AbsoluteURLs reports whether scripts can send requests to absolute URLs through a channel.
func (b *Bot) AbsoluteURLs() bool { return b.absoluteURLs }

// ScriptPlan is the plan of a script that channels use, or a fault of kind unknown_step. Its step is the script's name.
func (b *Bot) ScriptPlan(name string) (Plan, error) {
	code, ok := b.channelScripts[name]
	if !ok {
		return Plan{}, fault.New(fault.UnknownStep, "bot %s has no script %s%s", b.id.Bot, quote(name),
			nearest.Hint(name, slices.Sorted(maps.Keys(b.channelScripts))))
	}
	return Plan{
		BotID: b.id, Step: name, Dialect: DialectChannel, Revision: b.revision, Code: code,
		OnFailure: OnFailureContinue,
	}, nil
}

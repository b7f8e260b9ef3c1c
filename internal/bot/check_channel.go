package bot

import (
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/google/uuid"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// channelTokenMin keeps tokens out of reach of guessing, in bytes; the vendor's own have 32.
	channelTokenMin = 16
	recvTimeoutMax  = 60 // seconds
)

// fileChannel is an integration channel as it is written.
type fileChannel struct {
	ID           string          `yaml:"id"`
	Code         string          `yaml:"code"`
	Type         string          `yaml:"type"`
	TokenLocal   string          `yaml:"token_local"`
	TokenRemote  string          `yaml:"token_remote"`
	TokenRemote2 string          `yaml:"token_remote2"`
	IPMask       []string        `yaml:"ip_mask"`
	URL          string          `yaml:"url"`
	Recv         string          `yaml:"recv_svcscriptcode"`
	Send         string          `yaml:"send_svcscriptcode"`
	RecvWS       string          `yaml:"recv_svcscriptcode_ws"`
	SendWS       string          `yaml:"send_svcscriptcode_ws"`
	Run          string          `yaml:"run"`
	Opts         fileChannelOpts `yaml:"opts"`
	Ext          extension       `yaml:"ext"`
}

// decodeNode takes the entity as the vendor's API writes it, with every member: null and "" stand for a member that is
// absent.
func (f *fileChannel) decodeNode(d *document, path string, n ast.Node) bool {
	return d.decodeMembers(path, n, reflect.ValueOf(f).Elem(), isBlank)
}

// isBlank reports whether a value is null or an empty string.
func isBlank(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	text, isText := stringOf(n)
	return null || isText && text == ""
}

// extension holds further members of a channel, of any type; null members are absent.
type extension map[string]anyJSON

func (e *extension) decodeNode(d *document, path string, n ast.Node) bool {
	members := extension{}
	ok := d.entries(path, n, func(path, key string, _ *token.Token, value ast.Node) {
		if _, null := value.(*ast.NullNode); null {
			return
		}
		var element anyJSON
		if d.decode(path, value, reflect.ValueOf(&element).Elem()) {
			members[key] = element
		}
	})
	if ok {
		*e = members
	}
	return ok
}

type fileChannelOpts struct {
	Title        string       `yaml:"title"`
	Comment      string       `yaml:"comment"`
	AllowFiles   bool         `yaml:"allow_files_api"`
	Capabilities capabilities `yaml:"filter_capabilities"`
	Sync         bool         `yaml:"issync"`
	RecvTimeout  int          `yaml:"recv_timeout"`
	Roles        []string     `yaml:"roles"`
	UserID       string       `yaml:"userid"`
}

func (o *fileChannelOpts) decodeNode(d *document, path string, n ast.Node) bool {
	return d.decodeMembers(path, n, reflect.ValueOf(o).Elem(), isBlank)
}

// fileChannelType is a channel type that a bot declares. Channels of the type cannot set its keys to other values.
type fileChannelType struct {
	Type        string `yaml:"type"`
	URL         string `yaml:"url"`
	Recv        string `yaml:"recv_svcscriptcode"`
	Send        string `yaml:"send_svcscriptcode"`
	RecvWS      string `yaml:"recv_svcscriptcode_ws"`
	SendWS      string `yaml:"send_svcscriptcode_ws"`
	Sync        bool   `yaml:"issync"`
	RecvTimeout int    `yaml:"recv_timeout"`
}

func (t *fileChannelType) decodeNode(d *document, path string, n ast.Node) bool {
	return d.decodeMembers(path, n, reflect.ValueOf(t).Elem(), isBlank)
}

// capabilities are names, or "*" for all.
type capabilities []string

func (l *capabilities) decodeNode(d *document, path string, n ast.Node) bool {
	if text, isText := stringOf(n); isText {
		if text != "*" {
			return d.wrongType(path, "a list of capabilities, or * for all", n)
		}
		return true
	}
	return d.decodeSlice(path, n, reflect.ValueOf((*[]string)(l)).Elem())
}

func (c *checker) channelTypes() {
	r := c.file.ChannelRoles
	c.bot.channelNeeds = map[string]string{
		UseExec: r.Exec, UseWS: r.WS, UseFiles: r.Files, UseSubscriptions: r.Subscriptions,
	}
	for i := range c.file.ChannelTypes {
		if c.abandoned() {
			return
		}
		path, t := item("$.channel_types", i), &c.file.ChannelTypes[i]
		_, twice := c.bot.channelTypes[t.Type]
		switch {
		case !c.has(path + ".type"):
			c.problem(path+".type", "is missing")
		case !schemas.IsToken(t.Type):
			c.once(path+".type", "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
		case t.Type == ChannelPublic || t.Type == ChannelSubscriber || twice:
			c.problem(path+".type", "%s is known already", quote(t.Type))
		}
		if t.URL != "" {
			t.URL = c.absolute(path+".url", t.URL)
		}
		c.recvTimeout(path+".recv_timeout", t.RecvTimeout)
		c.channelScript(path+".recv_svcscriptcode", t.Recv)
		c.channelScript(path+".send_svcscriptcode", t.Send)
		c.channelScript(path+".recv_svcscriptcode_ws", t.RecvWS)
		c.channelScript(path+".send_svcscriptcode_ws", t.SendWS)
		c.bot.channelTypes[t.Type] = t
	}
}

// channel checks one channel and returns it.
func (c *checker) channel(path string, f *fileChannel) *Channel {
	ch := &Channel{
		BotID: c.bot.id, ID: f.ID, Code: f.Code, Type: f.Type,
		TokenLocal: f.TokenLocal, TokenRemote: f.TokenRemote, TokenRemote2: f.TokenRemote2,
		Recv: f.Recv, Send: f.Send, RecvWS: f.RecvWS, SendWS: f.SendWS, Runs: f.Run,
		Opts: ChannelOpts{
			Title: f.Opts.Title, Comment: f.Opts.Comment, AllowFiles: f.Opts.AllowFiles, Capabilities: f.Opts.Capabilities,
			Sync: f.Opts.Sync, RecvTimeout: f.Opts.RecvTimeout, Roles: f.Opts.Roles, UserID: f.Opts.UserID,
		},
		Ext: rawOf(f.Ext), needs: c.bot.channelNeeds,
	}
	switch {
	case !c.has(path + ".code"):
		c.problem(path+".code", "is missing")
	case !schemas.IsToken(f.Code):
		c.once(path+".code", "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
	}
	ch.ID = c.channelID(path+".id", ch)
	for key, name := range map[string]string{
		".token_local": f.TokenLocal, ".token_remote": f.TokenRemote, ".token_remote2": f.TokenRemote2,
	} {
		c.secretName(path+key, name)
	}
	for _, value := range c.bot.secrets[f.TokenLocal] {
		if len(value.Reveal()) < channelTokenMin {
			c.once(path+".token_local", "the value of this secret is shorter than %d bytes", channelTokenMin)
		}
	}
	ch.IPMask = c.ipMask(path+".ip_mask", f.IPMask)
	if f.URL != "" {
		ch.URL = c.absolute(path+".url", f.URL)
	}
	c.channelOpts(path+".opts", f)
	c.channelScript(path+".recv_svcscriptcode", f.Recv)
	c.channelScript(path+".send_svcscriptcode", f.Send)
	c.channelScript(path+".recv_svcscriptcode_ws", f.RecvWS)
	c.channelScript(path+".send_svcscriptcode_ws", f.SendWS)
	c.channelType(path, ch)
	c.channelRun(path+".run", ch)
	return ch
}

// channelRun checks how the scripts of a channel run.
func (c *checker) channelRun(path string, ch *Channel) {
	switch {
	case !slices.Contains([]string{"", RunWorkflow, RunBare}, ch.Runs):
		c.problem(path, "%s is not a valid way to run scripts, expected %s or %s", quote(ch.Runs), RunWorkflow, RunBare)
	case ch.Bare() && ch.Recv != "" && !ch.Opts.Sync:
		c.problem(path, "bare needs opts.issync: true, because nothing keeps a run whose caller does not wait for it")
	case ch.Bare() && !ch.Scripted():
		c.problem(path, "means nothing to a subscriber channel")
	}
}

// channelType copies the values of a declared type. A channel of the type cannot set other values.
func (c *checker) channelType(path string, ch *Channel) {
	t, declared := c.bot.channelTypes[ch.Type]
	switch {
	case !c.has(path + ".type"):
		c.problem(path+".type", "is missing")
		return
	case ch.Type == ChannelPublic, ch.Type == ChannelSubscriber:
		return
	case !declared:
		c.once(path+".type", "%s is unknown: want public, subscriber or a type of $.channel_types%s", quote(ch.Type),
			c.hint(ch.Type, c.bot.knownChannelTypes))
		return
	}
	// An entity that is written back contains the values of the type: only other values are a problem.
	for key, same := range map[string]bool{
		".url": ch.URL == t.URL, ".recv_svcscriptcode": ch.Recv == t.Recv, ".send_svcscriptcode": ch.Send == t.Send,
		".recv_svcscriptcode_ws": ch.RecvWS == t.RecvWS, ".send_svcscriptcode_ws": ch.SendWS == t.SendWS,
		".opts.issync": ch.Opts.Sync == t.Sync, ".opts.recv_timeout": ch.Opts.RecvTimeout == t.RecvTimeout,
	} {
		if c.has(path+key) && !same {
			c.problem(path+key, "is fixed by the type %s", quote(ch.Type))
		}
	}
	ch.URL, ch.Recv, ch.Send, ch.RecvWS, ch.SendWS = t.URL, t.Recv, t.Send, t.RecvWS, t.SendWS
	ch.Opts.Sync, ch.Opts.RecvTimeout = t.Sync, t.RecvTimeout
}

// knownChannelTypes returns the built-in channel types, and those that the bot declares.
func (b *Bot) knownChannelTypes() []string {
	return append([]string{ChannelPublic, ChannelSubscriber}, slices.Sorted(maps.Keys(b.channelTypes))...)
}

// channelNamespace is the UUIDv5 namespace of channels without an id of their own.
var channelNamespace = uuid.MustParse("4b0a3d5e-6c52-5d0b-8f57-1d0f6f3f0a11")

func (c *checker) channelID(path string, ch *Channel) string {
	if ch.ID == "" && !c.has(path) {
		return uuid.NewSHA1(channelNamespace, []byte(ch.Tenant+"/"+ch.Bot+"/"+ch.Code)).String()
	}
	c.opaqueID(path, ch.ID)
	if slices.Contains([]string{".", "..", "lookup"}, ch.ID) {
		c.once(path, "%s cannot be an id: paths of the admin API use it", quote(ch.ID))
	}
	return CanonicalID(ch.ID)
}

// CanonicalID returns the one spelling of a channel's id: a UUID in lower case, any other text as it is.
func CanonicalID(id string) string {
	if parsed, err := uuid.Parse(id); err == nil && len(id) == len(parsed.String()) {
		return parsed.String()
	}
	return id
}

// channelIDMax bounds ids that outside systems make, in bytes.
const channelIDMax = 128

// opaqueID checks an id of an outside system. Any text is valid, a UUID is not required.
func (c *checker) opaqueID(path, id string) {
	if len(id) > channelIDMax {
		c.once(path, "has %d bytes, expected at most %d", len(id), channelIDMax)
	}
}

func (c *checker) channelOpts(path string, f *fileChannel) {
	c.recvTimeout(path+".recv_timeout", f.Opts.RecvTimeout)
	c.opaqueID(path+".userid", f.Opts.UserID)
	for i, role := range f.Opts.Roles {
		if role == "" {
			c.problem(item(path+".roles", i), "is empty")
		}
	}
	if f.Opts.AllowFiles && f.Type == ChannelSubscriber {
		c.problem(path+".allow_files_api", "means nothing to a subscriber channel")
	}
}

func (c *checker) recvTimeout(path string, seconds int) {
	if seconds < 0 || seconds > recvTimeoutMax {
		c.problem(path, "%d is out of bounds: want seconds from 0 (the default, 10) to %d", seconds, recvTimeoutMax)
	}
}

func (c *checker) channelScript(path, name string) {
	if _, known := c.bot.channelScripts[name]; !known && c.has(path) {
		c.once(path, "names a script that is not defined under $.scripts%s", c.hint(name, sortedKeys(c.bot.channelScripts)))
	}
}

func (c *checker) ipMask(path string, mask []string) []netip.Prefix {
	var list []netip.Prefix
	for i, text := range mask {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			c.problem(item(path, i), "is not a valid CIDR: want one such as 203.0.113.0/24")
			continue
		}
		list = append(list, prefix.Masked())
	}
	return list
}

func rawOf(values extension) map[string]json.RawMessage {
	if values == nil {
		return nil
	}
	out := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		out[name] = json.RawMessage(value)
	}
	return out
}

func (c *checker) codeTaken(path string, ch *Channel) bool {
	_, taken := c.bot.channelsByCode[ch.Code]
	if taken {
		c.once(path+".code", "%s is the code of an earlier channel", quote(ch.Code))
	}
	return taken
}

// ReadChannel reads one channel of a bot as JSON, by the rules of bot files. Its secrets and scripts are those of the bot.
// The error is Problems whose keys are those of the channel.
func ReadChannel(b *Bot, text []byte, options Options) (*Channel, error) {
	document, root := parseDocument("", text)
	if root == nil {
		return nil, document.problems
	}
	c := &checker{document: document, file: newFile(), options: options.withDefaults(), bot: b, memo: newMemo()}
	c.file.Secrets = b.secretRefs
	var f fileChannel
	if c.decode("$", root, reflect.ValueOf(&f).Elem()) {
		ch := c.channel("$", &f)
		if len(c.problems) == 0 {
			return ch, nil
		}
	}
	return nil, c.problems
}

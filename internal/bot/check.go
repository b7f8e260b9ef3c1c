package bot

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// envValueMax is the vendor's limit on the value of an environment variable, in characters.
	envValueMax    = 50
	idleTimeoutMin = Duration(time.Second)
	idleTimeoutMax = Duration(7 * 24 * time.Hour)
)

// checker checks one decoded file, reports its problems and builds its Bot.
type checker struct {
	*document
	file     *file
	dialects specs
	home     home
	options  Options
	sources  secret.Sources
	bot      *Bot
	base     string   // the base URL of the running environment
	revision string   // fingerprint of the file
	watch    []string // paths of secrets and scripts
	memo     memo

	ownPackages    []Package // of all scripts of the bot
	ownConnections []string
}

// readBot reads the text of one bot file. It stops when the load was abandoned.
func readBot(base string, data []byte, h home, options Options, abandoned func() bool) result {
	name := h.fileName(base)
	document, root := parseDocument(name, data)
	if root == nil {
		return result{file: name, problems: document.problems}
	}
	document.abandoned, document.nearest = abandoned, options.nearest
	c := &checker{
		document: document,
		file:     newFile(),
		dialects: options.Dialects,
		home:     h,
		options:  options,
		bot: &Bot{
			file: name, secrets: map[string][]secret.Value{}, plans: map[string]Plan{}, adapters: map[string]*BotAdapter{},
			scripts: map[string]string{}, channelScripts: map[string]*Code{}, channelTypes: map[string]*fileChannelType{},
			secretRefs: map[string]refs{}, sums: map[string][][sha256.Size]byte{}, channelsByCode: map[string]*Channel{},
		},
		memo:     newMemo(),
		revision: fingerprint(data),
	}
	if c.decode("$", root, reflect.ValueOf(c.file).Elem()) && !c.expanded.exceeded {
		c.check()
	}
	r := result{file: name, bot: c.bot, problems: c.problems, warnings: c.warnings, watch: c.watch}
	if len(c.problems) > 0 || c.expanded.exceeded {
		r.bot, r.warnings = nil, nil
	}
	return r
}

func (c *checker) check() {
	c.identity()
	c.settings()
	c.baseURLs()
	c.envVariables("$.env_variables.test", c.file.EnvVariables.Test)
	c.envVariables("$.env_variables.production", c.file.EnvVariables.Production)
	c.checkTexts("$.bot_break", c.file.BotBreak)
	c.checkTexts("$.bot_paused", c.file.BotPaused)
	c.resolveSecrets()
	c.visibility()
	c.retention()
	c.ownPackages, c.ownConnections = c.packages(), c.connections()
	for _, name := range slices.Sorted(maps.Keys(c.file.Steps)) {
		if c.abandoned() {
			return
		}
		c.bot.plans[name] = c.step(name, c.file.Steps[name])
	}
	c.warnBotBreak()
	for _, name := range slices.Sorted(maps.Keys(c.file.Adapters)) {
		if c.abandoned() {
			return
		}
		c.bot.adapters[name] = c.adapter(name, c.file.Adapters[name])
	}
	c.scripts()
	c.channelTypes()
	for i := range c.file.Channels {
		if c.abandoned() {
			return
		}
		if ch := c.channel(item("$.channels", i), &c.file.Channels[i]); !c.codeTaken(item("$.channels", i), ch) {
			c.bot.channels, c.bot.channelsByCode[ch.Code] = append(c.bot.channels, ch), ch
		}
	}
}

// fingerprint identifies a version of a file. 48 bits are enough for the few versions of one file.
func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

func (c *checker) identity() {
	want, f := strings.TrimSuffix(filepath.Base(c.name), ".yaml"), c.file
	if own := c.home.tenant; own != "" && !c.has("$.tenant") {
		f.Tenant = own
	} else if own != "" && f.Tenant != own {
		c.once("$.tenant", "%s differs from the name of the directory, which has the bots of one tenant: want %s",
			quote(f.Tenant), quote(own))
	}
	switch {
	case !c.has("$.bot"):
		c.problem("$.bot", "is missing")
	case f.Bot == "": // of a wrong type, or empty
		c.once("$.bot", "is empty")
	case !schemas.IsToken(f.Bot):
		c.problem("$.bot", "%s is not a name: want 1 to 64 of A-Z a-z 0-9 _ -", quote(f.Bot))
	case f.Bot != want:
		c.problem("$.bot", "%s differs from the name of the file: want %s", quote(f.Bot), quote(want))
	}
	if !schemas.IsToken(f.Tenant) {
		c.problem("$.tenant", "%s is not a name: want 1 to 64 of A-Z a-z 0-9 _ -", quote(f.Tenant))
	}
	c.bot.id = schemas.BotID{Tenant: f.Tenant, Bot: f.Bot}
	c.sources = secret.Sources{
		Tenant: f.Tenant, Dir: c.options.SecretsDir, LookupEnv: c.options.LookupEnv,
		Free: c.options.FreeSecrets, FreeDir: c.home.path,
	}
}

// warnBotBreak warns about a bot without a text for failed steps.
func (c *checker) warnBotBreak() {
	if c.has("$.bot_break") {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.bot.plans)) {
		if c.bot.plans[name].OnFailure == OnFailureBotBreak {
			c.warn("$", "has no bot_break: when step %s fails, the user reads nothing", name)
			return
		}
	}
}

func (c *checker) settings() {
	f := c.file
	c.oneOf("$.dialect", f.Dialect, c.dialects.names()...)
	c.oneOf("$.environment", f.Environment, environmentTest, environmentProduction)
	c.oneOf("$.base_url_environment", f.BaseURLEnvironment, environmentTest, environmentProduction)
	c.oneOf("$.ordering", f.Ordering, OrderingConversation, OrderingNone)
	c.within("$.idle_timeout", f.IdleTimeout, idleTimeoutMin, idleTimeoutMax)

	c.bot.ordering, c.bot.idleTimeout, c.bot.botBreak = f.Ordering, f.IdleTimeout.D(), f.BotBreak
	c.bot.botPaused = f.BotPaused
	c.bot.onFailure = c.onFailure(f.Dialect)
	c.bot.absoluteURLs, c.bot.revision, c.bot.places = f.AbsoluteURLs == nil || *f.AbsoluteURLs, c.revision, c.places
}

// onFailure is what a failed step of a dialect does by default: with human assistance a person takes over where the bot
// would break.
func (c *checker) onFailure(dialect string) string {
	onFailure := c.dialects.get(dialect).OnFailure
	if onFailure == OnFailureBotBreak && c.file.HumanAssistance {
		return OnFailureHandover
	}
	return onFailure
}

func (c *checker) baseURLs() {
	for environment, text := range map[string]string{
		environmentTest:       c.file.BaseURLs.Test,
		environmentProduction: c.file.BaseURLs.Production,
	} {
		if text == "" {
			continue // a bot may have none; a step that needs it is the problem
		}
		if base, err := parseBase(text, c.options.AllowPlainHTTP); err != nil {
			c.problem("$.base_urls."+environment, "%s", err)
		} else {
			text = base.String()
		}
		if environment == c.baseEnvironment() {
			c.base = text
		}
	}
}

// baseEnvironment is the environment whose base URL is used: only the test environment has a choice.
func (c *checker) baseEnvironment() string {
	if c.file.Environment == environmentProduction {
		return environmentProduction
	}
	return c.file.BaseURLEnvironment
}

// env is the environment variables of the running environment.
func (c *checker) env() map[string]string {
	if c.file.Environment == environmentProduction {
		return c.file.EnvVariables.Production
	}
	return c.file.EnvVariables.Test
}

func (c *checker) envVariables(path string, variables map[string]string) {
	for name, value := range variables {
		switch n := utf8.RuneCountInString(value); {
		case name == "":
			c.problem(member(path, name), "a variable needs a name")
		case n > envValueMax:
			c.problem(member(path, name), "has %d characters: at most %d are allowed", n, envValueMax)
		}
	}
}

// once reports a problem unless the value, or a part of it, already has one.
func (c *checker) once(path, format string, args ...any) {
	for _, p := range c.problems {
		if rest, below := strings.CutPrefix(p.Key, path); below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return
		}
	}
	c.problem(path, format, args...)
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.once(path, "%s is unknown: want one of %s%s", quote(value), strings.Join(allowed, ", "),
			c.hint(value, func() []string { return allowed }))
	}
}

func (c *checker) within(path string, value, least, most Duration) {
	if value < least || value > most {
		c.problem(path, "%s is out of bounds: want %s to %s", value, short(least), short(most))
	}
}

// short formats a bound without zero minutes and seconds.
func short(d Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func (c *checker) number(path string, value float64, least, most float64) {
	if value < least || value > most {
		c.problem(path, "%v is out of bounds: want %v to %v", value, least, most)
	}
}

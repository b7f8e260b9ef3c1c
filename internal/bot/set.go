package bot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// Set holds the bots of a directory at the time of the load. It never changes and is safe for concurrent use.
type Set struct {
	bots   map[schemas.BotID]*Bot
	bad    map[schemas.BotID]string         // bad files that no bot is served from, by the bot that their names stand for
	tokens map[[sha256.Size]byte][]*Channel // that have a token, by its SHA-256: at most one of each tenant
	digest string

	replaced context.Context //nolint:containedctx // its end is what it stands for
	replace  context.CancelFunc
}

// newSet returns a new Set without bots.
func newSet() *Set {
	s := &Set{
		bots: map[schemas.BotID]*Bot{}, bad: map[schemas.BotID]string{}, tokens: map[[sha256.Size]byte][]*Channel{},
	}
	s.replaced, s.replace = context.WithCancel(context.Background())
	return s
}

// Replaced returns a context that ends when a Store has a newer Set.
func (s *Set) Replaced() context.Context { return s.replaced }

// HasTenant reports whether a tenant has a bot.
func (s *Set) HasTenant(tenant string) bool {
	for id := range s.bots {
		if id.Tenant == tenant {
			return true
		}
	}
	return false
}

// Bot finds a bot of a tenant.
func (s *Set) Bot(id schemas.BotID) (*Bot, bool) {
	bot, ok := s.bots[id]
	return bot, ok
}

// Hint returns what ends an error about an unknown bot: that its file is bad, or which bot of the tenant has a name like
// it, such as `: did you mean shop?`; "" when none has.
func (s *Set) Hint(id schemas.BotID) string {
	if file, bad := s.bad[id]; bad {
		return ": " + file + " is a bad bot file, see \"starter validate\""
	}
	var names []string
	for known := range s.bots {
		if known.Tenant == id.Tenant {
			names = append(names, known.Bot)
		}
	}
	slices.Sort(names)
	return nearest.Hint(id.Bot, names)
}

// Adapter finds the TwoWay adapter of an account whose outbound URL a product token opens. Bots of several tenants may
// have an adapter of this account and name: the token decides. When it opens the adapters of two tenants, it opens none.
func (s *Set) Adapter(account, name, token string) (*Bot, *BotAdapter, bool) {
	var bot *Bot
	sum := sha256.Sum256([]byte(token))
	for _, b := range s.bots {
		adapter, ok := b.adapters[name]
		if !ok || adapter.Account != account || token == "" || !b.opens(adapter.ProductToken, sum) {
			continue
		}
		if bot != nil {
			return nil, nil, false
		}
		bot = b
	}
	if bot == nil {
		return nil, nil, false
	}
	return bot, bot.adapters[name], true
}

// Bots lists all bots by tenant and name.
func (s *Set) Bots() []*Bot {
	return slices.SortedFunc(maps.Values(s.bots), func(a, b *Bot) int {
		return cmp.Or(cmp.Compare(a.id.Tenant, b.id.Tenant), cmp.Compare(a.id.Bot, b.id.Bot))
	})
}

// Bot is the content of one bot file. It never changes.
type Bot struct {
	id          schemas.BotID
	file        string // name in problems
	ordering    string
	idleTimeout time.Duration
	onFailure   string
	botBreak    Texts
	botPaused   Texts
	plans       map[string]Plan
	secrets     map[string][]secret.Value
	adapters    map[string]*BotAdapter
	scripts     map[string]string // by their fingerprint

	secretRefs map[string]refs                // the names of its secrets, for channels of the admin API
	sums       map[string][][sha256.Size]byte // SHA-256 of the values of each secret

	channels       []*Channel
	channelsByCode map[string]*Channel
	channelTypes   map[string]*fileChannelType
	channelScripts map[string]*Code  // by the names that channels use
	channelNeeds   map[string]string // roles that channels need, by use
	visibility     Visibility
	retention      Retention
	absoluteURLs   bool // scripts may send requests to absolute URLs through a channel
	revision       string
	places         map[string]place // positions of keys in the file
	modified       time.Time        // when the file was written last; zero = not known
}

// opens reports whether a token, of which only the SHA-256 is given, is one of the values of a secret. It takes the same
// time for each wrong one.
func (b *Bot) opens(secretName string, sum [sha256.Size]byte) bool {
	known := false
	for _, own := range b.sums[secretName] {
		known = subtle.ConstantTimeCompare(own[:], sum[:]) == 1 || known
	}
	return known
}

// Modified returns when the bot file was last written; zero = not known.
func (b *Bot) Modified() time.Time { return b.modified }

// ID returns the bot's tenant and name.
func (b *Bot) ID() schemas.BotID { return b.id }

// Tenant returns the owner of the bot.
func (b *Bot) Tenant() string { return b.id.Tenant }

// Name returns the bot's name, which is unique in its tenant.
func (b *Bot) Name() string { return b.id.Bot }

// Ordering returns OrderingConversation or OrderingNone.
func (b *Bot) Ordering() string { return b.ordering }

// IdleTimeout returns how long a conversation is kept without an event.
func (b *Bot) IdleTimeout() time.Duration { return b.idleTimeout }

// OnFailure returns what happens when a step fails, unless its plan sets another value.
func (b *Bot) OnFailure() string { return b.onFailure }

// BotBreak returns the texts for the user when a step fails; it can be empty. Do not change the map.
func (b *Bot) BotBreak() Texts { return b.botBreak }

// BotPaused returns what the user reads while an operator has paused the bot.
func (b *Bot) BotPaused() Texts { return b.botPaused }

// Steps returns the names of all steps, sorted.
func (b *Bot) Steps() []string { return slices.Sorted(maps.Keys(b.plans)) }

// Plan returns the complete plan of a step, or a fault of kind unknown_step. The plan is shared: do not change its
// maps, lists and pointers.
func (b *Bot) Plan(step string) (Plan, error) {
	plan, ok := b.plans[step]
	if !ok {
		return Plan{}, fault.New(fault.UnknownStep, "bot %s does not have a step %s%s", b.id.Bot, quote(step),
			nearest.Hint(step, b.Steps()))
	}
	return plan, nil
}

// Secrets returns all valid values of a secret of this bot, newest first.
func (b *Bot) Secrets(name string) ([]secret.Value, bool) {
	values, ok := b.secrets[name]
	return slices.Clone(values), ok
}

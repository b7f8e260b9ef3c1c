package bot

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// served is what the bots that are served have taken already: what only all files together show. It keeps tenants apart:
//
//	a bot             belongs to the tenant's directory, else to the operator's file of its name
//	a channel's id,   are the tenant's own: two bots of one tenant cannot have the same, and another tenant's do not matter.
//	an adapter's      Whose URL was called is found by the product token
//	account and name
//	a token           that several tenants have opens nothing: only the tenant itself should have known it
//	a licence         is divided among the tenants, so that one tenant's channels leave the others' shares alone
type served struct {
	bots     map[schemas.BotID]string // the file
	reserved map[schemas.BotID]string // bots of the tenants' directories, by the name of the file, good or bad
	ids      map[tenantKey]*Channel
	adapters map[adapterKey]*Bot
	tokens   map[[sha256.Size]byte][]opening
	shares   map[shareKey]int // how many channels of a type a tenant may have
	used     map[shareKey]int
}

type (
	tenantKey  struct{ tenant, id string }
	adapterKey struct{ tenant, account, adapter string }
	shareKey   struct{ tenant, kind string }
)

// opening is a channel that a token opens.
type opening struct {
	channel *Channel
	bot     *Bot
	at      string // key path
}

func newServed(licences map[string]int, claims []claim) *served {
	s := &served{
		bots: map[schemas.BotID]string{}, reserved: map[schemas.BotID]string{}, ids: map[tenantKey]*Channel{},
		adapters: map[adapterKey]*Bot{}, tokens: map[[sha256.Size]byte][]opening{}, shares: shares(licences, claims),
		used: map[shareKey]int{},
	}
	for _, c := range claims {
		if c.tenant != "" {
			name := strings.TrimSuffix(strings.TrimPrefix(c.file, c.tenant+"/"), ".yaml")
			s.reserved[schemas.BotID{Tenant: c.tenant, Bot: name}] = c.file
		}
	}
	return s
}

// fits reports why a bot cannot be served beside those that are.
func (s *served) fits(c claim, b *Bot) Problems {
	var problems Problems
	key := b.id
	if owner, reserved := s.reserved[key]; reserved && owner != c.file {
		problems.add(b, "$.bot", "is the bot of %s, a file in the tenant's own directory", owner)
	} else if owner, taken := s.bots[key]; taken {
		problems.add(b, "$.bot", "is the bot of %s already", owner)
	}
	for _, a := range b.Adapters() {
		if first, taken := s.adapters[adapterKey{b.id.Tenant, a.Account, a.Name}]; taken && a.ProductToken != "" {
			problems.add(b, member("$.adapters", a.Name), "bot %s has an adapter of this name and account already", first.id.Bot)
		}
	}
	count := map[string]int{}
	own, opened := map[string]bool{}, map[[sha256.Size]byte]*Channel{}
	for i, ch := range b.channels {
		if len(problems) >= problemsMax {
			break
		}
		path := item("$.channels", i)
		if first, taken := s.ids[tenantKey{b.id.Tenant, ch.ID}]; taken {
			problems.add(b, path+".id", "is that of channel %s of bot %s", first.Code, first.Bot)
		} else if own[ch.ID] {
			problems.add(b, path+".id", "is that of another channel of this bot")
		}
		own[ch.ID] = true
		count[ch.Type]++
		key := shareKey{b.id.Tenant, ch.Type}
		if most, bounded := s.shares[key]; bounded && s.used[key]+count[ch.Type] > most {
			problems.add(b, path+".type", "is one channel too many: the licence allows %d of the type %s to tenant %s",
				most, ch.Type, b.id.Tenant)
		}
		s.tokensFit(b, ch, path, opened, &problems)
	}
	return problems
}

// tokensFit looks for channels of the same tenant that a token opens already. opened has the first channel of the bot for
// each token.
func (s *served) tokensFit(b *Bot, ch *Channel, path string, opened map[[sha256.Size]byte]*Channel, problems *Problems) {
	for _, sum := range b.sums[ch.TokenLocal] {
		for _, o := range s.tokens[sum] {
			if o.bot.id.Tenant == b.id.Tenant {
				problems.add(b, path+".token_local", "opens channel %s of bot %s already", o.channel.Code, o.channel.Bot)
			}
		}
		if other := opened[sum]; other == nil {
			opened[sum] = ch
		} else if other != ch {
			problems.add(b, path+".token_local", "opens channel %s of bot %s already", other.Code, b.id.Bot)
		}
	}
}

// take marks what a bot takes.
func (s *served) take(c claim, b *Bot) {
	s.bots[b.id] = c.file
	for _, a := range b.Adapters() {
		if a.ProductToken != "" {
			s.adapters[adapterKey{b.id.Tenant, a.Account, a.Name}] = b
		}
	}
	for i, ch := range b.channels {
		s.ids[tenantKey{b.id.Tenant, ch.ID}] = ch
		s.used[shareKey{b.id.Tenant, ch.Type}]++
		for _, sum := range b.sums[ch.TokenLocal] {
			s.tokens[sum] = append(s.tokens[sum], opening{ch, b, item("$.channels", i) + ".token_local"})
		}
	}
}

// channelsByToken are the channels that have each token, each channel once.
func (s *served) channelsByToken() map[[sha256.Size]byte][]*Channel {
	all := make(map[[sha256.Size]byte][]*Channel, len(s.tokens))
	for sum, openings := range s.tokens {
		for i, o := range openings {
			if i == 0 || o.channel != openings[i-1].channel { // two values of a secret may be equal
				all[sum] = append(all[sum], o.channel)
			}
		}
	}
	return all
}

func sameChannel(openings []opening) bool {
	for _, o := range openings {
		if o.channel != openings[0].channel {
			return false
		}
	}
	return true
}

// contested warns about tokens that channels of several tenants have.
func (s *served) contested() Problems {
	var warnings Problems
	for _, openings := range s.tokens {
		if sameChannel(openings) {
			continue
		}
		for _, o := range openings {
			warnings.add(o.bot, o.at, "another tenant has the same token: it opens neither channel, replace it")
		}
	}
	return warnings
}

// shares divides the licences: each tenant gets as many channels as it wants, as long as no other tenant gets fewer than it
// wants because of that. Of what cannot be divided evenly, the first tenants by name get one more.
func shares(licences map[string]int, claims []claim) map[shareKey]int {
	given := map[shareKey]int{}
	for kind, most := range licences {
		wants := map[string]int{}
		for _, c := range claims {
			if len(c.bots) > 0 {
				for _, ch := range c.bots[0].channels {
					if ch.Type == kind {
						wants[ch.Tenant]++
					}
				}
			}
		}
		tenants := slices.Sorted(maps.Keys(wants))
		for _, tenant := range tenants {
			given[shareKey{tenant, kind}] = 0 // a tenant without a share is bounded too
		}
		for len(tenants) > 0 && most > 0 { // each round leaves out the tenants that have what they want
			tenants = slices.DeleteFunc(tenants, func(tenant string) bool {
				key := shareKey{tenant, kind}
				if most > 0 {
					given[key]++
					most--
				}
				return given[key] >= wants[tenant]
			})
		}
	}
	return given
}

func (p *Problems) add(b *Bot, key, format string, args ...any) {
	d := document{name: b.file, places: b.places}
	*p = append(*p, d.problemOf(key, format, args...))
}

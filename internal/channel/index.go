package channel

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// index is what the registry finds, made of one Set and stored channels.
type index struct {
	set      *bot.Set
	byToken  map[[sha256.Size]byte][]*bot.Channel // stored channels that have a token: at most one of each tenant
	byCode   map[code]*bot.Channel
	byID     map[string]*bot.Channel
	problems map[string]error // of stored channels that are not served, by the key of the id
}

type code struct {
	owner schemas.BotID
	code  string
}

// index returns what can be found now.
func (r *Registry) index() *index {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.bots.Current()
	if r.found == nil || r.found.set != set {
		r.found = r.build(set, func(Stored) bool { return true })
		r.report(r.found)
	}
	return r.found
}

// build makes an index of a Set and those of the stored channels that are to be in it, under the lock.
func (r *Registry) build(set *bot.Set, in func(Stored) bool) *index {
	x := &index{
		set: set, byToken: map[[sha256.Size]byte][]*bot.Channel{}, byCode: map[code]*bot.Channel{},
		byID: map[string]*bot.Channel{}, problems: map[string]error{},
	}
	for _, key := range r.oldestFirst() {
		s := r.stored[key]
		if !in(s) {
			continue
		}
		ch, tokens, err := r.read(set, s)
		if err == nil {
			err = x.fits(ch, tokens)
		}
		if err != nil {
			x.problems[key] = err
			continue
		}
		x.add(ch, tokens)
	}
	return x
}

// add adds a stored channel that fits.
func (x *index) add(ch *bot.Channel, tokens [][sha256.Size]byte) {
	x.byID[ch.ID], x.byCode[code{ch.BotID, ch.Code}] = ch, ch
	for _, sum := range tokens {
		if !slices.Contains(x.byToken[sum], ch) { // a channel may have a token twice
			x.byToken[sum] = append(x.byToken[sum], ch)
		}
	}
}

// fits returns why a channel cannot be served beside those of the index.
func (x *index) fits(ch *bot.Channel, tokens [][sha256.Size]byte) error {
	if _, taken := x.byCode[code{ch.BotID, ch.Code}]; taken {
		return fmt.Errorf("the code %s is taken", ch.Code)
	}
	return x.tokensFit(ch, tokens)
}

// tokensFit returns an error when a token opens another channel of the same tenant. A token that another tenant has is not
// an error, as with bot files: the error would confirm that it is valid there.
func (x *index) tokensFit(ch *bot.Channel, tokens [][sha256.Size]byte) error {
	replaced := x.byID[ch.ID] // by this one, when it is changed
	for _, sum := range tokens {
		for _, other := range x.having(sum) {
			if other != replaced && other.Tenant == ch.Tenant {
				return fmt.Errorf("$.token_local: opens channel %s of bot %s already", other.Code, other.Bot)
			}
		}
	}
	return nil
}

// having returns the channels that have a token, of bot files and stored ones: at most one of each tenant.
func (x *index) having(sum [sha256.Size]byte) []*bot.Channel {
	return slices.Concat(x.set.ChannelsByToken(sum), x.byToken[sum])
}

// ofType returns how many stored channels of a type are served.
func (x *index) ofType(channelType string) (count int) {
	for _, ch := range x.byID {
		if ch.Type == channelType {
			count++
		}
	}
	return count
}

// report logs what of an index is not served.
func (r *Registry) report(x *index) {
	for key, err := range x.problems {
		s := r.stored[key]
		r.log.Warn("admin API channel disabled", "id", s.ID, "tenant", s.Tenant, "bot", s.Bot, "error", err)
	}
	for sum := range x.byToken {
		all := x.having(sum)
		if len(all) == 1 {
			continue
		}
		for _, ch := range all {
			r.log.Warn("channel token disabled", "id", ch.ID, "tenant", ch.Tenant, "bot", ch.Bot, "channel", ch.Code,
				"error", "another tenant has the same token: it opens neither channel", "hint", "replace the token")
		}
	}
}

// oldestFirst returns the keys of the stored channels. Of two with one code, or of one tenant with one token, the older one
// is served: the request for the other one has failed, and its channel could not be removed.
func (r *Registry) oldestFirst() []string {
	return slices.SortedFunc(maps.Keys(r.stored), func(a, b string) int {
		return cmp.Or(r.stored[a].Created.Compare(r.stored[b].Created), cmp.Compare(a, b))
	})
}

// read parses a stored channel by the bot files as they are.
func (r *Registry) read(set *bot.Set, s Stored) (*bot.Channel, [][sha256.Size]byte, error) {
	b, ok := set.Bot(s.BotID)
	if !ok {
		return nil, nil, fmt.Errorf("there is no bot %s of tenant %s", s.Bot, s.Tenant)
	}
	ch, err := bot.ReadChannel(b, s.Channel, r.options)
	if err != nil {
		return nil, nil, err
	}
	if _, taken := b.Channel(ch.Code); taken {
		return nil, nil, fmt.Errorf("the bot file has a channel of the code %s", ch.Code)
	}
	if s.ID != "" { // a channel that is being created has the id that it was given
		ch.ID = s.ID
	}
	tokens := b.TokenSums(ch)
	for _, hash := range s.Hashes {
		if raw, err := hex.DecodeString(hash); err == nil && len(raw) == sha256.Size {
			tokens = append(tokens, [sha256.Size]byte(raw))
		}
	}
	return ch, tokens, nil
}

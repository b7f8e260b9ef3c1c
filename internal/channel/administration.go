package channel

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// Store keeps channels where every process finds them. *store.Channels is one.
type Store interface {
	Put(ctx context.Context, id string, channel []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, id string, revision uint64) error
}

// Administration makes, changes and deletes channels beside those of the bot files.
type Administration struct {
	*Registry

	Store    Store
	Licences map[string]int // how many channels there may be of a type; a type that is not named is not bounded
}

// Errors of a channel that is asked for.
var (
	ErrNotFound = errors.New("there is no such channel")
	ErrOfFile   = errors.New("the channel is defined in a bot file: change the file")
	// ErrOvertaken reports that the channel is not stored: another request, at another starter, was first.
	ErrOvertaken = errors.New("another request has created a channel of this code or token, or the last one of this type " +
		"that the licence allows: read the channels again")
)

// InvalidError is the reason why a channel cannot be as it was asked for.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func refused(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// confirmTimeout bounds the wait for the channels that were stored before a new one, and the removal of that.
const confirmTimeout = 5 * time.Second

// tokensKept is how many tokens of a channel are valid at a time, while they are rotated.
const tokensKept = 2

// Create returns a new channel. When it names no secret as its token_local, a token is made: it is given once and kept
// as a hash.
func (a *Administration) Create(ctx context.Context, owner schemas.BotID, written json.RawMessage) (Entry, string, error) {
	written = clean(written)
	s := Stored{BotID: owner, Channel: written, Created: time.Now().UTC()}
	ch, tokens, err := a.read(a.bots.Current(), s)
	if err != nil {
		return Entry{}, "", refused("%s", err)
	}
	if s.ID = ch.ID; !names(written, "id") {
		s.ID = uuid.NewString()
	}
	ch.ID = s.ID
	if err := a.free(ch, tokens); err != nil {
		return Entry{}, "", err
	}
	token := ""
	if ch.TokenLocal == "" {
		token = newToken()
		s.Hashes = []string{hashOf(token)}
	}
	entry, err := a.put(ctx, ch, s, 0)
	if err == nil {
		err = a.confirm(ctx, ch, entry)
	}
	if err != nil {
		return Entry{}, "", err
	}
	return entry, token, nil
}

// confirm removes a new channel that must not be beside those which other starters have stored before it: a starter checks
// only what it knows. The bucket orders the channels, so that the first of two with one code stays.
func (a *Administration) confirm(ctx context.Context, ch *bot.Channel, made Entry) error {
	waiting, cancel := context.WithTimeout(ctx, confirmTimeout)
	err := a.waitApplied(waiting, made.Revision)
	cancel()
	if err == nil {
		err = a.overtaken(ch, made)
	}
	if err == nil {
		return nil
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	key := KeyOf(made.ID)
	if failed := a.Store.Delete(ctx, key, made.Revision); failed != nil {
		return errors.Join(err, failed)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(key, Stored{}, false)
	return err
}

// overtaken returns ErrOvertaken when a channel of the same code or token, or as many of the type as there may be, were
// stored before a new one.
func (a *Administration) overtaken(ch *bot.Channel, made Entry) error {
	set := a.bots.Current()
	a.mu.Lock()
	older := a.build(set, func(s Stored) bool { return s.Revision < made.Revision })
	a.mu.Unlock()
	_, tokens, _ := a.read(set, made.Stored) // none when the bot file has changed meanwhile: it is not served then
	_, full := a.licenceFull(set, ch.Type, older.ofType(ch.Type))
	if full || older.fits(ch, tokens) != nil {
		return ErrOvertaken
	}
	return nil
}

// licenceFull reports whether the licence allows no channel of a type beside those of the bot files and a number of stored
// ones, and how many it allows.
func (a *Administration) licenceFull(set *bot.Set, channelType string, stored int) (most int, full bool) {
	count := stored
	for _, b := range set.Bots() {
		for _, other := range b.Channels() {
			if other.Type == channelType {
				count++
			}
		}
	}
	most, bounded := a.Licences[channelType]
	return most, bounded && count >= most
}

// free reports whether a channel may come beside those there are.
func (a *Administration) free(ch *bot.Channel, tokens [][sha256.Size]byte) error {
	if _, taken := a.ByCode(ch.BotID, ch.Code); taken {
		return refused("$.code: a channel of the bot has the code %s already", ch.Code)
	}
	a.mu.Lock()
	_, stored := a.stored[KeyOf(ch.ID)]
	a.mu.Unlock()
	if stored { // also one that is not served
		return refused("$.id: a channel has this id already")
	}
	set, found := a.bots.Current(), a.index()
	for _, b := range set.Bots() {
		if slices.ContainsFunc(b.Channels(), func(other *bot.Channel) bool { return other.ID == ch.ID }) {
			return refused("$.id: a channel has this id already")
		}
	}
	if err := found.tokensFit(ch, tokens); err != nil {
		return refused("%s", err)
	}
	if most, full := a.licenceFull(set, ch.Type, found.ofType(ch.Type)); full {
		return refused("$.type: the licence allows %d channels of the type %s, and there are as many", most, ch.Type)
	}
	return nil
}

// Change replaces what was written of a channel of a revision; rotate makes a new token, beside which the one before stays
// valid. Id, tenant, bot, type and code cannot change: outside systems know the channel by them.
func (a *Administration) Change(ctx context.Context, id string, revision uint64, written json.RawMessage, rotate bool,
) (Entry, string, error) {
	entry, err := a.Get(id)
	if err != nil {
		return Entry{}, "", err
	}
	if entry.Origin == OriginFile {
		return Entry{}, "", ErrOfFile
	}
	written = clean(written)
	s := entry.Stored
	before, _, err := a.read(a.bots.Current(), s)
	if err != nil { // what it was does not fit the bot any more; what it will be must
		before = &bot.Channel{}
	}
	s.Channel = written
	ch, tokens, err := a.read(a.bots.Current(), s)
	if err != nil {
		return Entry{}, "", refused("%s", err)
	}
	if err := a.index().tokensFit(ch, tokens); err != nil {
		return Entry{}, "", refused("%s", err)
	}
	if before.Code != "" && (ch.Code != before.Code || ch.Type != before.Type) {
		return Entry{}, "", refused("code and type of a channel cannot change: make another")
	}
	token := ""
	if rotate {
		token = newToken()
		s.Hashes = append([]string{hashOf(token)}, s.Hashes[:min(len(s.Hashes), tokensKept-1)]...)
	}
	changed, err := a.put(ctx, ch, s, revision)
	return changed, token, err
}

// Remove deletes a channel of a revision.
func (a *Administration) Remove(ctx context.Context, id string, revision uint64) error {
	entry, err := a.Get(id)
	if err != nil {
		return err
	}
	if entry.Origin == OriginFile {
		return ErrOfFile
	}
	if err := a.Store.Delete(ctx, KeyOf(entry.ID), revision); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(KeyOf(entry.ID), Stored{}, false)
	return nil
}

func (a *Administration) put(ctx context.Context, ch *bot.Channel, s Stored, revision uint64) (Entry, error) {
	s.Modified = time.Now().UTC()
	text, err := json.Marshal(s)
	if err != nil {
		return Entry{}, err
	}
	if s.Revision, err = a.Store.Put(ctx, KeyOf(s.ID), text, revision); err != nil {
		return Entry{}, err
	}
	a.wrote(KeyOf(s.ID), s)
	return Entry{Stored: s, Origin: OriginAdmin, Served: ch}, nil
}

// names reports whether a JSON object has a member.
func names(object json.RawMessage, member string) bool { return Members(object)[member] != nil }

func newToken() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Followed is where stored channels come from. *store.Channels is one.
type Followed interface {
	Follow(ctx context.Context, begin func(), changed func(id string, channel []byte, revision uint64), ready func()) error
}

// Follow keeps the registry up to date until ctx ends; ready is called once, when it knows what there is.
func (r *Registry) Follow(ctx context.Context, from Followed, ready func()) error {
	return from.Follow(ctx, r.begin, r.apply, ready)
}

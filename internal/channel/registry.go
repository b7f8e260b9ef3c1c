package channel

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Stored is a channel of the administration as it is kept.
type Stored struct {
	schemas.BotID

	ID      string          `json:"id"`
	Channel json.RawMessage `json:"channel"` // as it was written, without tenant and bot
	// Hashes are the SHA-256, in hex, of the tokens that were made for it, newest first.
	Hashes   []string  `json:"token_sha256,omitempty"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`

	Revision uint64 `json:"-"`
}

// Registry finds channels. It is safe for concurrent use.
type Registry struct {
	bots    Bots
	options bot.Options
	log     *slog.Logger

	mu      sync.Mutex
	stored  map[string]Stored // by the key of the id
	written map[string]uint64 // revisions that this process has written since the bucket is followed, by the key of the id
	found   *index            // nil: to be made

	applied uint64        // the latest revision of the bucket that was followed
	applies chan struct{} // closed with the next one
}

// NewRegistry returns a new registry that knows the channels of bot files; options are those with which the files are read.
func NewRegistry(bots Bots, options bot.Options, log *slog.Logger) *Registry {
	return &Registry{bots: bots, options: options, log: log, stored: map[string]Stored{}, written: map[string]uint64{},
		applies: make(chan struct{})}
}

// ByToken finds the channel that a token opens, by the SHA-256 of the token. A token that channels of several tenants have
// opens none of them, whether they are of bot files or of the admin API.
func (r *Registry) ByToken(sum [sha256.Size]byte) (*bot.Channel, bool) {
	all := r.index().having(sum)
	if len(all) != 1 {
		return nil, false
	}
	return all[0], true
}

// ByCode finds a channel of a bot by its code.
func (r *Registry) ByCode(owner schemas.BotID, word string) (*bot.Channel, bool) {
	if b, ok := r.bots.Current().Bot(owner); ok {
		if ch, ok := b.Channel(word); ok {
			return ch, true
		}
	}
	ch, ok := r.index().byCode[code{owner, word}]
	return ch, ok
}

// KeyOf returns the key under which the channel of an id is stored: the id itself where a key can hold it, else its hash.
func KeyOf(id string) string { return schemas.ConversationToken(bot.CanonicalID(id)) }

// begin forgets the revisions that this process has written: the bucket is read again and may have been created again, or
// restored from a backup. Its revisions then begin again, and what it holds counts.
func (r *Registry) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.written)
	r.applied = 0
}

// waitApplied waits until the registry knows everything that was stored before a revision. It returns the error of the
// context when that ends first.
func (r *Registry) waitApplied(ctx context.Context, revision uint64) error {
	for {
		r.mu.Lock()
		applied, next := r.applied, r.applies
		r.mu.Unlock()
		if applied >= revision {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply applies what is stored under a key; no bytes mean that the channel was deleted.
func (r *Registry) apply(key string, text []byte, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		r.applied = max(r.applied, revision)
		close(r.applies)
		r.applies = make(chan struct{})
	}()
	if revision < r.written[key] {
		return // this process has replaced it
	}
	var s Stored
	if len(text) > 0 && json.Unmarshal(text, &s) != nil {
		r.log.Error("stored channel not readable", "key", key, "hint", "run the same release of all processes")
		return
	}
	s.Revision = revision
	r.keep(key, s, len(text) > 0)
}

// wrote remembers what this process has stored.
func (r *Registry) wrote(key string, s Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[key] = s.Revision
	r.keep(key, s, true)
}

// keep remembers a stored channel, or that there is none.
func (r *Registry) keep(key string, s Stored, there bool) {
	if there {
		r.stored[key] = s
	} else {
		delete(r.stored, key)
	}
	r.found = nil
}

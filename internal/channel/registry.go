// Package channel knows which integration channels there are: those of the bot files and those of the administration, which
// are kept in a bucket that every process follows.
package channel

import (
	"github.com/hookturn/hookturn/internal/bot"
)

// Bots are the bot files as they are now. *bot.Store is one.
type Bots interface {
	Current() *bot.Set
}

// Registry finds channels. It is safe for concurrent use.
type Registry struct{ bots Bots }

// NewRegistry makes a registry of the channels of bot files.
func NewRegistry(bots Bots) *Registry { return &Registry{bots: bots} }

// ByToken finds the channel that a token opens, by the SHA-256 of the token.
func (r *Registry) ByToken(sum [32]byte) (*bot.Channel, bool) {
	return r.bots.Current().ChannelByToken(sum)
}

// ByCode finds a channel of a bot by its code.
func (r *Registry) ByCode(tenant, name, code string) (*bot.Channel, bool) {
	b, ok := r.bots.Current().Bot(tenant, name)
	if !ok {
		return nil, false
	}
	return b.Channel(code)
}

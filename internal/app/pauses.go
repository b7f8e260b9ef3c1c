package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// followPauses calls decided for each decision of an operator once, until the part is stopped, and returns when it has done
// so for those that are stored: before, a paused bot would be served, and a paused endpoint called. stored reports whether
// the decision is older than this process.
func followPauses(
	ctx context.Context, b *base, log *slog.Logger, p *parts, decided func(d store.Pause, stored bool),
) error {
	return follow(ctx, p, log, "pauses", func(ctx context.Context, ready func()) error {
		stored := true
		return store.NewPauses(b.streams).Follow(ctx, func(d store.Pause) { decided(d, stored) }, func() {
			stored = false
			ready()
		})
	})
}

// decided applies an operator's decision about an endpoint to this worker's limiter. What this worker knows of an endpoint
// begins with it, so a decision from before to go on has nothing to end.
func (e *endpoints) decided(d store.Pause, stored bool) {
	if d.URL == "" || stored && d.Resumed {
		return
	}
	at := limit.Endpoint{BotID: d.BotID, URL: d.URL}
	if d.Resumed {
		e.limiter.Resume(at)
		e.log.Info("endpoint resumed by an operator", "tenant", at.Tenant, "bot", at.Bot, "url", at.URL, "by", d.By)
		return
	}
	e.limiter.Hold(at, d.Until)
	e.log.Warn("endpoint paused by an operator", "tenant", at.Tenant, "bot", at.Bot, "url", at.URL,
		"until", d.Until, "by", d.By)
}

// pausedBots are the bots that an operator has paused, as the starters follow them.
type pausedBots struct {
	log *slog.Logger

	mu   sync.Mutex
	bots map[schemas.BotID]pausedBot
}

type pausedBot struct {
	over   context.Context // ends with the pause
	resume context.CancelFunc
}

// Paused returns a context that ends when the pause of a bot is over; nil when it does not pause.
func (p *pausedBots) Paused(id schemas.BotID) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, paused := p.bots[id]
	if !paused {
		return nil
	}
	if b.over.Err() != nil {
		delete(p.bots, id)
		return nil
	}
	return b.over
}

// now returns the paused bots, for the metrics.
func (p *pausedBots) now() []schemas.BotID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []schemas.BotID
	for id, b := range p.bots {
		if b.over.Err() == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *pausedBots) decided(d store.Pause, _ bool) {
	if d.URL != "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, paused := p.bots[d.BotID]; paused {
		before.resume() // its events look again
		delete(p.bots, d.BotID)
	}
	if !d.Active(time.Now()) {
		p.log.Info("bot resumed", "tenant", d.Tenant, "bot", d.Bot, "by", d.By)
		return
	}
	b := pausedBot{}
	if d.Until.IsZero() {
		b.over, b.resume = context.WithCancel(context.Background())
	} else {
		b.over, b.resume = context.WithDeadline(context.Background(), d.Until)
	}
	p.bots[d.BotID] = b
	p.log.Warn("bot paused by an operator, its events wait", "tenant", d.Tenant, "bot", d.Bot, "until", d.Until, "by", d.By)
}

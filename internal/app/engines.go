package app

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// enginesEvery is how often the consumers of engines are checked.
	enginesEvery = 30 * time.Second
	// enginesTimeout bounds one check: a stream that vanishes meanwhile is seen after it.
	enginesTimeout = 20 * time.Second
)

// engines creates the consumers of engines again when their streams had vanished: an engine is not permitted to, and
// "starter setup", which created them, has ended. It creates only those that existed before.
type engines struct {
	js      bus.JetStream
	streams bus.Streams
	bots    func() *bot.Set
	log     *slog.Logger
	timeout time.Duration   // of one check
	known   map[string]bool // tenants whose engines have their consumers, or had them
	lost    map[string]bool // those whose consumers are to be created
}

func newEngines(b *base, log *slog.Logger) *engines {
	return &engines{
		js: b.js, streams: b.streams, bots: b.bots.Current, log: log, timeout: enginesTimeout,
		known: map[string]bool{}, lost: map[string]bool{},
	}
}

// run keeps the consumers until ctx ends.
func (e *engines) run(ctx context.Context) {
	ticker := time.NewTicker(enginesEvery)
	defer ticker.Stop()
	replies, letters := e.streams.Restored(schemas.StreamReplies), e.streams.Restored(schemas.StreamDeadLetters)
	for {
		e.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-replies:
			replies = e.streams.Restored(schemas.StreamReplies)
			maps.Copy(e.lost, e.known)
		case <-letters:
			letters = e.streams.Restored(schemas.StreamDeadLetters)
			maps.Copy(e.lost, e.known)
		}
		e.restore(ctx)
	}
}

// look finds the tenants of the bot files whose engines have consumers. Where all of them have, it asks for nothing.
func (e *engines) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	tenants := map[string]bool{}
	for _, one := range e.bots().Bots() {
		if !e.known[one.Tenant()] {
			tenants[one.Tenant()] = true
		}
	}
	if len(tenants) == 0 {
		return
	}
	with, err := bus.WithEngines(ctx, e.js, tenants)
	if err != nil {
		e.log.Log(ctx, natsclient.RetryLevel(err), "looking for consumers of engines failed, will retry", "error", err, "retry_in",
			enginesEvery)
	}
	for _, tenant := range with {
		e.known[tenant] = true
	}
}

// restore creates the consumers that are lost. What a check does not finish is left to the next one.
func (e *engines) restore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	for tenant := range e.lost {
		err := bus.EnsureEngine(ctx, e.js, tenant)
		if err == nil {
			delete(e.lost, tenant)
			continue
		}
		e.log.Log(ctx, natsclient.RetryLevel(err), "creating consumers of an engine failed, will retry", "tenant", tenant, "error",
			err, "retry_in", enginesEvery, "hint", "run \"starter setup\"")
		if ctx.Err() != nil {
			return
		}
	}
}

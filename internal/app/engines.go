package app

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// enginesEvery is how often the consumers of engines are checked.
const enginesEvery = 30 * time.Second

// keepEngines creates the consumers of engines again when their streams had vanished: an engine is not permitted to, and
// "starter setup", which created them, has ended. It creates only those that existed before.
func keepEngines(ctx context.Context, b *base, log *slog.Logger) {
	known, lost := map[string]bool{}, map[string]bool{}
	ticker := time.NewTicker(enginesEvery)
	defer ticker.Stop()
	replies, letters := b.streams.Restored(schemas.StreamReplies), b.streams.Restored(schemas.StreamDeadLetters)
	for {
		for _, one := range b.bots.Current().Bots() {
			if tenant := one.Tenant(); !known[tenant] && bus.HasEngine(ctx, b.js, tenant) {
				known[tenant] = true
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-replies:
			replies = b.streams.Restored(schemas.StreamReplies)
			maps.Copy(lost, known)
		case <-letters:
			letters = b.streams.Restored(schemas.StreamDeadLetters)
			maps.Copy(lost, known)
		}
		for tenant := range lost {
			if err := bus.EnsureEngine(ctx, b.js, tenant); err != nil {
				log.Log(ctx, natsclient.RetryLevel(err), "creating consumers of an engine failed, will retry", "tenant", tenant,
					"error", err, "retry_in", enginesEvery, "hint", "run \"starter setup\"")
				continue
			}
			delete(lost, tenant)
		}
	}
}

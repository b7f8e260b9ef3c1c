package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Setup creates the missing streams, buckets and search attributes, and applies sizes, replicas and partitions that are set
// to those that exist. It is idempotent. The actor is who runs it, for the audit event.
func Setup(ctx context.Context, cfg Config, actor schemas.AuditActor) error {
	cfg = cfg.withDefaults()
	if err := cfg.validateStreams(); err != nil {
		return err
	}
	connecting, connected := cfg.connecting(ctx)
	nc, js, err := bus.Connect(connecting, cfg.Login(), "hookturn-setup", cfg.Log)
	connected()
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := bus.EnsureAudit(ctx, js, cfg.streamOptions()); err != nil {
		return err
	}
	writer := bus.NewAudit(js)
	actor.NATSUser = writer.User()
	op, err := audit.Trail{Writer: writer, Actor: actor, Log: cfg.Log}.Begin(ctx, audit.Change{Action: schemas.AuditSetup})
	if err != nil {
		return err
	}
	did := audit.Outcome{Result: schemas.AuditDone}
	if did.Objects, err = setUp(ctx, js, cfg); err != nil {
		did.Result, did.Error = schemas.AuditFailed, "failed"
	}
	did.Counts = map[string]int{"changed": len(did.Objects)}
	op.End(ctx, did)
	return err
}

// setUp does the work of Setup, and returns the changes of streams that existed.
func setUp(ctx context.Context, js bus.JetStream, cfg Config) (changes []string, err error) {
	if _, err = bus.Setup(ctx, js, cfg.streamOptions()); err != nil {
		return nil, err
	}
	if err := bus.Resize(ctx, js, cfg.streamOptions(), func(stream, what string) {
		changes = append(changes, stream+": "+what)
		cfg.Log.InfoContext(ctx, "stream changed", "stream", stream, "change", what)
	}); err != nil {
		return changes, err
	}
	changed, err := repartition(ctx, js, cfg)
	if changed {
		changes = append(changes, fmt.Sprintf("%s: partitions %d", schemas.StreamEvents, cfg.Partitions))
	}
	if err != nil {
		return changes, err
	}
	for _, tenant := range cfg.Engines {
		if err := bus.EnsureEngine(ctx, js, tenant); err != nil {
			return changes, err
		}
	}
	connecting, connected := cfg.connecting(ctx)
	defer connected()
	c, err := dialTemporal(connecting, cfg.Temporal, cfg.Log, nil)
	if err != nil {
		return changes, err
	}
	defer c.Close()
	return changes, ensureSearchAttributes(ctx, c, cfg.Temporal.Namespace, cfg.Log)
}

// PlanSetup returns what Setup would change, one line for each change, and changes nothing. What Setup would reject is an
// error.
func PlanSetup(ctx context.Context, cfg Config) (changes []string, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validateStreams(); err != nil {
		return nil, err
	}
	connecting, connected := cfg.connecting(ctx)
	nc, js, err := cfg.Login().Connect(connecting, "hookturn-setup", cfg.Log)
	connected()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if changes, err = bus.Plan(ctx, js, cfg.streamOptions(), cfg.Engines); err != nil {
		return nil, err
	}
	connecting, connected = cfg.connecting(ctx)
	defer connected()
	c, err := dialTemporal(connecting, cfg.Temporal, cfg.Log, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	missing, err := missingAttributes(ctx, c, cfg.Temporal.Namespace, cfg.Log)
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		changes = append(changes, fmt.Sprintf("add search attribute %s (%s) to namespace %s", name, missing[name],
			cfg.Temporal.Namespace))
	}
	return changes, err
}

// drainTimeout is how long Setup waits until the stream of events is empty, so that its partitions can change.
const drainTimeout = time.Minute

// repartition changes the partitions of the stream of events to the number that is set.
func repartition(ctx context.Context, js bus.JetStream, cfg Config) (changed bool, err error) {
	if cfg.Partitions == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	changed, err = bus.Repartition(ctx, js, cfg.Partitions)
	if changed {
		cfg.Log.InfoContext(ctx, "partitions changed, running starters follow within seconds", "partitions", cfg.Partitions)
	}
	return changed, err
}

// connecting returns a context that ends when connecting has taken too long.
func (c Config) connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.ConnectTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.ConnectTimeout)
}

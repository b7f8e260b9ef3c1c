package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// noticesMax is the number of state changes that may wait for publication, half of them of one tenant. A worker that cannot
	// reach NATS drops later ones; its own requests follow them all the same.
	noticesMax = 1000
	// whyMax bounds the reason of a state that is shared, in bytes.
	whyMax = 200
	// dropLogEvery is how often a tenant's dropped state changes are logged.
	dropLogEvery = time.Minute
)

// endpoints publishes the state changes of endpoints to the other workers, the log and the subscribers of advisories.
type endpoints struct {
	shared  *store.Endpoints
	pubsub  *pubsub.PubSub
	log     *slog.Logger
	limiter *limit.Limiter
	notices chan waiting
	shares  tenantshare.Shares // of notices

	mu      sync.Mutex
	dropped map[string]time.Time // when that was logged last, by tenant
}

// waiting is a state change that waits for publication.
type waiting struct {
	limit.StateChange

	release func()
}

func newEndpoints(log *slog.Logger, shared *store.Endpoints, notifications *pubsub.PubSub) *endpoints {
	return &endpoints{
		shared: shared, pubsub: notifications, log: log, limiter: &limit.Limiter{}, notices: make(chan waiting, noticesMax),
		dropped: map[string]time.Time{},
	}
}

// startLimiter returns a new limiter and keeps its state the same as that of the other workers' limiters.
func startLimiter(
	ctx context.Context, base *base, log *slog.Logger, m *telemetry.Metrics, p *parts,
) (*limit.Limiter, error) {
	e := newEndpoints(log, store.NewEndpoints(base.streams), pubsub.New(base.js))
	e.limiter.OnChange = e.changed
	if err := followPauses(ctx, base, log, p, e.decided); err != nil {
		return nil, err
	}
	hide, err := m.WatchEndpoints(e.unusual)
	if err != nil {
		return nil, err
	}
	p.add("metrics of endpoints", func(context.Context) error { hide(); return nil })
	// Before it has read the stored states, this worker would call an endpoint that asked the others for a pause.
	err = follow(ctx, p, log, "endpoint states", func(ctx context.Context, ready func()) error {
		return e.shared.Follow(ctx, e.received, ready)
	})
	if err != nil {
		return nil, err
	}
	p.add("endpoint notices", background(e.publishAll))
	return e.limiter, nil
}

// changed queues a state change of this worker's limiter for publication.
func (e *endpoints) changed(n limit.StateChange) {
	level := slog.LevelInfo
	if n.Shared() {
		level = slog.LevelWarn
	}
	e.log.Log(context.Background(), level, "endpoint state changed", "state", n.State, "tenant", n.Endpoint.Tenant,
		"bot", n.Endpoint.Bot, "url", n.Endpoint.URL, "until", n.Until, "reason", n.Why)
	release, ok := e.shares.Take(n.Endpoint.Tenant, noticesMax/2)
	if ok {
		select {
		case e.notices <- waiting{n, release}:
			return
		default:
			release()
		}
	}
	if e.logDue(n.Endpoint.Tenant) {
		e.log.Warn("endpoint state not published: too many state changes wait", "tenant", n.Endpoint.Tenant, "url", n.Endpoint.URL,
			"state", n.State, "hint", "check the connection to NATS")
	}
}

// logDue reports whether a dropped state change of a tenant is logged, which is so once a minute.
func (e *endpoints) logDue(tenant string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	due := time.Since(e.dropped[tenant]) >= dropLogEvery
	if due {
		e.dropped[tenant] = time.Now()
	}
	return due
}

// publishAll publishes what waits until ctx ends, then the rest: what a worker has found out must outlive it.
func (e *endpoints) publishAll(ctx context.Context) {
	running := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case n := <-e.notices:
			e.publishNext(running, n)
		}
	}
	rest, cancel := context.WithTimeout(running, publishTimeout)
	defer cancel()
	for len(e.notices) > 0 && rest.Err() == nil {
		e.publishNext(rest, <-e.notices)
	}
}

// publishNext publishes a state change that waited, and logs when that fails.
func (e *endpoints) publishNext(ctx context.Context, n waiting) {
	err := e.publish(ctx, n.StateChange)
	n.release()
	full := fault.Of(err)
	if err != nil && (full == nil || full.Kind != fault.QueueFull || e.logDue(n.Endpoint.Tenant)) {
		e.log.WarnContext(ctx, "publishing endpoint state failed", "tenant", n.Endpoint.Tenant, "url", n.Endpoint.URL,
			"state", n.State, "error", err)
	}
}

// publishTimeout bounds the publication of one state change.
const publishTimeout = 5 * time.Second

// publish stores a state change for the other workers, then publishes its advisory, whose reader can rely on what is stored.
// An advisory is published although the state could not be stored.
func (e *endpoints) publish(ctx context.Context, n limit.StateChange) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	at := n.Endpoint
	changed := schemas.EndpointChanged{URL: at.URL, State: string(n.State), Reason: n.Why}
	if !n.Until.IsZero() {
		changed.Until = &n.Until
	}
	advisory, err := json.Marshal(schemas.NewAdvisory(at.BotID, time.Now(), changed))
	if err != nil {
		return err
	}
	return errors.Join(e.store(ctx, n), e.pubsub.Advise(at.BotID, advisory))
}

// store stores a state that other workers apply, and removes one that is over.
func (e *endpoints) store(ctx context.Context, n limit.StateChange) error {
	at := n.Endpoint
	if !n.Shared() {
		if n.State == limit.StateClosed {
			return e.shared.Forget(ctx, at.BotID, at.URL)
		}
		return nil
	}
	n.Why = cut(n.Why, whyMax)
	notice, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return e.shared.Tell(ctx, at.BotID, at.URL, notice)
}

// cut returns a text of at most a number of bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// received applies a state change of any worker.
func (e *endpoints) received(notice []byte) {
	var n limit.StateChange
	if err := json.Unmarshal(notice, &n); err != nil {
		e.log.Warn("invalid endpoint state received", "bytes", len(notice), "error", err,
			"hint", "check that all workers run the same release")
		return
	}
	e.limiter.Apply(n)
}

// unusual returns the endpoints that are not in their normal state, for the metrics.
func (e *endpoints) unusual() []telemetry.Endpoint {
	var all []telemetry.Endpoint
	for _, n := range e.limiter.Snapshot() {
		all = append(all, telemetry.Endpoint{
			BotID: n.Endpoint.BotID, URL: n.Endpoint.URL, State: string(n.State),
		})
	}
	return all
}

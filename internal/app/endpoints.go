package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// noticesMax is how many notices may wait to be told. A worker that cannot reach NATS drops later ones: its own requests
// follow them all the same.
const noticesMax = 1000

// endpoints tells whoever should know how endpoints are treated: the other workers, the log, the listeners to advisories.
type endpoints struct {
	shared  *store.Endpoints
	pubsub  *bus.PubSub
	log     *slog.Logger
	limiter *limit.Limiter
	notices chan limit.StateChange
}

// startLimiter makes the limiter of a worker and keeps it and the others' of one mind.
func startLimiter(base *base, log *slog.Logger, m *telemetry.Metrics, p *parts) (*limit.Limiter, error) {
	e := &endpoints{
		shared: store.NewEndpoints(base.streams), pubsub: bus.NewPubSub(base.js), log: log, limiter: &limit.Limiter{},
		notices: make(chan limit.StateChange, noticesMax),
	}
	e.limiter.OnChange = e.changed
	hide, err := m.WatchEndpoints(e.unusual)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.shared.Listen(ctx, e.heard); err != nil {
			log.Error("this worker does not hear of endpoints from the others: restart it when NATS is well", "error", err)
		}
	})
	running.Go(func() { e.tellAll(ctx) })
	p.add("endpoint notices", func(context.Context) error {
		hide()
		cancel()
		running.Wait()
		return nil
	})
	return e.limiter, nil
}

// changed takes a notice of this worker's limiter.
func (e *endpoints) changed(n limit.StateChange) {
	level := slog.LevelInfo
	if n.Shared() {
		level = slog.LevelWarn
	}
	e.log.Log(context.Background(), level, "endpoint changed", "state", n.State, "tenant", n.Endpoint.Tenant,
		"bot", n.Endpoint.Bot, "url", n.Endpoint.URL, "until", n.Until, "why", n.Why)
	select {
	case e.notices <- n:
	default:
		e.log.Warn("the other workers are not told of an endpoint: too many notices wait, is NATS away?",
			"url", n.Endpoint.URL, "state", n.State)
	}
}

func (e *endpoints) tellAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-e.notices:
			if err := e.tell(ctx, n); err != nil {
				e.log.Warn("the other workers are not told of an endpoint", "url", n.Endpoint.URL, "state", n.State, "error", err)
			}
		}
	}
}

// tellTimeout bounds the telling of one notice.
const tellTimeout = 5 * time.Second

func (e *endpoints) tell(ctx context.Context, n limit.StateChange) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
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
	if err := e.pubsub.Advise(at.BotID, advisory); err != nil {
		return err
	}
	if !n.Shared() {
		if n.State == limit.StateClosed {
			return e.shared.Forget(ctx, at.BotID, at.URL)
		}
		return nil
	}
	notice, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return e.shared.Tell(ctx, at.BotID, at.URL, notice)
}

// heard takes a notice of any worker.
func (e *endpoints) heard(notice []byte) {
	var n limit.StateChange
	if err := json.Unmarshal(notice, &n); err != nil {
		e.log.Warn("a notice about an endpoint cannot be read: do all workers run the same release?", "bytes", len(notice))
		return
	}
	e.limiter.Apply(n)
}

// unusual lists the endpoints for the metrics.
func (e *endpoints) unusual() []telemetry.Endpoint {
	var all []telemetry.Endpoint
	for _, n := range e.limiter.Snapshot() {
		all = append(all, telemetry.Endpoint{
			BotID: n.Endpoint.BotID, URL: n.Endpoint.URL, State: string(n.State),
		})
	}
	return all
}

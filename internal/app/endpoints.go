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

// noticesMax is the number of state changes that may wait for publication. A worker that cannot reach NATS drops later
// ones; its own requests follow them all the same.
const noticesMax = 1000

// endpoints publishes the state changes of endpoints to the other workers, the log and the subscribers of advisories.
type endpoints struct {
	shared  *store.Endpoints
	pubsub  *bus.PubSub
	log     *slog.Logger
	limiter *limit.Limiter
	notices chan limit.StateChange
}

// startLimiter returns a new limiter and keeps its state the same as that of the other workers' limiters.
func startLimiter(base *base, log *slog.Logger, m *telemetry.Metrics, p *parts) (*limit.Limiter, error) {
	e := &endpoints{
		shared: store.NewEndpoints(base.streams), pubsub: bus.NewPubSub(base.js), log: log, limiter: &limit.Limiter{},
		notices: make(chan limit.StateChange, noticesMax),
	}
	e.limiter.OnChange = e.changed
	followPauses(base, log, p, e.decided)
	hide, err := m.WatchEndpoints(e.unusual)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.shared.Listen(ctx, e.received); err != nil {
			log.Error("receiving endpoint states of other workers failed", "error", err,
				"hint", "restart this worker when NATS is available")
		}
	})
	running.Go(func() { e.publishAll(ctx) })
	p.add("endpoint notices", func(context.Context) error {
		hide()
		cancel()
		running.Wait()
		return nil
	})
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
	select {
	case e.notices <- n:
	default:
		e.log.Warn("endpoint state not published: too many state changes wait", "url", n.Endpoint.URL, "state", n.State,
			"hint", "check the connection to NATS")
	}
}

func (e *endpoints) publishAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-e.notices:
			if err := e.publish(ctx, n); err != nil {
				e.log.WarnContext(ctx, "publishing endpoint state failed", "url", n.Endpoint.URL, "state", n.State, "error", err)
			}
		}
	}
}

// publishTimeout bounds the publication of one state change.
const publishTimeout = 5 * time.Second

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

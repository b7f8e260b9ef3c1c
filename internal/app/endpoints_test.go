package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/pubsub"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

func open(tenant string, n int) limit.StateChange {
	return limit.StateChange{
		Endpoint: limit.Endpoint{BotID: schemas.BotID{Tenant: tenant, Bot: "shop"}, URL: fmt.Sprintf("https://shop.example/%d", n)},
		State:    limit.StateOpen, Why: strings.Repeat("ü", whyMax),
	}
}

// TestEndpoints_TenantHasHalfOfTheQueue: while NATS is away, the changes of a tenant with many endpoints that fail leave room
// for those of others. What is dropped is logged once a minute.
func TestEndpoints_TenantHasHalfOfTheQueue(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := newEndpoints(slog.New(slog.NewTextHandler(&log, nil)), nil, nil)
	for n := range noticesMax {
		e.changed(open("greedy", n))
	}
	require.Len(t, e.notices, noticesMax/2)
	e.changed(open("other", 0))
	require.Len(t, e.notices, noticesMax/2+1)
	require.Equal(t, 1, strings.Count(log.String(), "not published"))
	first := <-e.notices
	first.release()
	e.changed(open("greedy", 0))
	require.Len(t, e.notices, noticesMax/2+1)
}

// TestEndpoints_Published: the state that workers share has a short reason, and its place in the queue is free.
func TestEndpoints_Published(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	shared := store.NewEndpoints(streams)
	e := newEndpoints(slog.New(slog.DiscardHandler), shared, pubsub.New(js))
	e.changed(open("acme", 0))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { e.publishAll(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	require.Eventually(t, func() bool { return e.shares.Len() == 0 }, time.Minute, 5*time.Millisecond, "it waits no more")
	states, err := shared.List(t.Context())
	require.NoError(t, err)
	require.Len(t, states, 1)
	var stored limit.StateChange
	require.NoError(t, json.Unmarshal(states[0], &stored))
	require.Equal(t, strings.Repeat("ü", whyMax/2), stored.Why)
}

// TestEndpoints_StoredBeforeAdvised: a reader of an advisory finds the state stored, and a worker that stops at once publishes
// what waits.
func TestEndpoints_StoredBeforeAdvised(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	published := make(chan *nats.Msg, 10) // in the order in which the server got them
	for _, subject := range []string{"$KV." + bus.BucketEndpoints + ".>", "hookturn.advisories.>"} {
		_, err := js.Conn().ChanSubscribe(subject, published)
		require.NoError(t, err)
	}
	e := newEndpoints(slog.New(slog.DiscardHandler), store.NewEndpoints(streams), pubsub.New(js))
	e.changed(open("acme", 0))
	e.changed(open("acme", 1))
	ended, stop := context.WithCancel(t.Context())
	stop()
	e.publishAll(ended)
	require.NoError(t, js.Conn().Flush())
	for range 2 {
		require.Contains(t, (<-published).Subject, bus.BucketEndpoints)
		require.Equal(t, "hookturn.advisories.acme.shop", (<-published).Subject)
	}
}

// TestEndpoints_ReadBeforeTheFirstRequest: a worker that starts has the states of the others before it takes work.
func TestEndpoints_ReadBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	log, shared := slog.New(slog.DiscardHandler), store.NewEndpoints(streams)
	const known = 200
	for n := range known {
		state := open("acme", n)
		state.Until = time.Now().Add(time.Hour)
		require.NoError(t, newEndpoints(log, shared, pubsub.New(js)).publish(t.Context(), state))
	}
	p := &parts{log: log}
	l, err := startLimiter(t.Context(), &base{js: js, streams: streams}, log, telemetry.NewMetrics(), p)
	require.NoError(t, err)
	for n := range known {
		_, denied := l.Acquire(limit.Request{Endpoint: open("acme", n).Endpoint})
		require.NotNil(t, denied, n)
	}
	require.NoError(t, p.stop(context.WithoutCancel(t.Context())))
}

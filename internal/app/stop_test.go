package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestStop_NotReadyFirst: a process that stops is not ready while its parts still stop.
func TestStop_NotReadyFirst(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func() (*parts, *fatal, func(context.Context) error){
		"worker": func() (*parts, *fatal, func(context.Context) error) {
			w := &Worker{}
			return &w.parts, &w.fatal, w.Stop
		},
		"starter": func() (*parts, *fatal, func(context.Context) error) {
			s := &Starter{}
			return &s.parts, &s.fatal, s.Stop
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, f, stop := build()
			p.log = slog.New(slog.DiscardHandler)
			a, err := startAdmin(Config{AdminAddr: "127.0.0.1:0", Metrics: telemetry.NewMetrics()}, &f.readiness, p)
			require.NoError(t, err)
			f.readiness.Begin(func(context.Context) error { return nil })
			root := "http://" + a.Addr()
			_, body := get(t, root+"/readyz")
			require.Equal(t, "ready\n", body)
			var alive int
			p.add("work", func(context.Context) error {
				alive, _ = get(t, root+"/healthz")
				_, body = get(t, root+"/readyz")
				return nil
			})
			require.NoError(t, stop(context.WithoutCancel(t.Context())))
			require.Equal(t, "not ready: the process is stopping\n", body)
			require.Equal(t, 200, alive)
		})
	}
}

// TestTogether_OneTimeout: parts that stop together need one timeout, and all their errors are kept.
func TestTogether_OneTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 30 * time.Second
		var both together
		reader, gateway := errors.New("reader"), errors.New("gateway")
		for _, failed := range []error{reader, gateway} {
			both.add(func(ctx context.Context) error { <-ctx.Done(); return failed })
		}
		began := time.Now()
		err := within(timeout, both.stop)(t.Context())
		require.Equal(t, timeout, time.Since(began))
		require.ErrorIs(t, err, reader)
		require.ErrorIs(t, err, gateway)
	})
}

// TestStarter_GatewayStopsWithReader: a call that the gateway waits for does not keep the starter in its partitions.
func TestStarter_GatewayStopsWithReader(t *testing.T) {
	t.Parallel()
	cfg := Config{NATSURL: startNATS(t).ClientURL(), Gateway: Gateway{Addr: "127.0.0.1:0"}}.withDefaults()
	bots, err := bot.NewStore(botDir(t, goodBot), bot.Options{Dialects: dialects.Specs()}, cfg.Log)
	require.NoError(t, err)
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: cfg.NATSURL}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	s := &Starter{parts: parts{log: cfg.Log}}
	require.NoError(t, s.startGateway(t.Context(), cfg, &base{
		bots: bots, channels: channel.NewRegistry(bots, bot.Options{}, cfg.Log), js: js, streams: streams,
		temporal: &mocks.Client{},
	}, &rollout.Files{Bots: bots, Streams: streams, Name: t.Name()}))
	require.Empty(t, s.parts.list, "it would stop before the reader")
	root := "http://" + s.GatewayAddr()
	status, _ := get(t, root+"/openapi.json")
	require.Equal(t, 200, status)
	require.NoError(t, s.running.stop(t.Context()))
	_, err = browser.Get(root + "/openapi.json")
	require.Error(t, err)
}

package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// setupEngines returns a keeper of the consumers of engines, for a hundred bots of the tenant bare and one each of acme and
// half, and the way to stop its server. The engine of acme has its consumers, that of half one of the two.
func setupEngines(t *testing.T) (e *engines, stop func()) {
	t.Helper()
	server := natstest.Start(t)
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: server.ClientURL()}, "test", nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, bus.EnsureEngine(t.Context(), js, "acme"))
	require.NoError(t, bus.EnsureEngine(t.Context(), js, "half"))
	require.NoError(t, js.DeleteConsumer(t.Context(), schemas.StreamDeadLetters, "half"))
	dir := t.TempDir()
	for tenant, bots := range map[string]int{"bare": 100, "acme": 1, "half": 1} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, tenant), 0o700))
		for n := range bots {
			name := fmt.Sprintf("bot%d", n)
			require.NoError(t, os.WriteFile(filepath.Join(dir, tenant, name+".yaml"),
				[]byte("bot: "+name+"\ntenant: "+tenant+"\n"), 0o600))
		}
	}
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true})
	require.NoError(t, err)
	return &engines{
		js: js, streams: streams, bots: func() *bot.Set { return set }, log: slog.New(slog.DiscardHandler), timeout: time.Minute,
		known: map[string]bool{}, lost: map[string]bool{},
	}, server.Shutdown
}

// requested returns how many requests of each kind a call sends for consumers.
func requested(t *testing.T, js jetstream.JetStream, call func()) map[string]int {
	t.Helper()
	sent := make(chan *nats.Msg, 1000)
	watch, err := js.Conn().ChanSubscribe("$JS.API.>", sent)
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush())
	call()
	require.NoError(t, js.Conn().Flush())
	require.NoError(t, watch.Unsubscribe())
	close(sent)
	requests := map[string]int{}
	for m := range sent {
		if m.Subject != "$JS.API.CONSUMER.CREATE."+schemas.StreamAudit { // the server's own, which copies audit events
			requests[m.Subject]++
		}
	}
	return requests
}

// TestEngines_RequestsOfOneCheck: a check costs two requests, however many bots and tenants without an engine there are, and
// finds the engines that have both consumers.
func TestEngines_RequestsOfOneCheck(t *testing.T) {
	t.Parallel()
	e, _ := setupEngines(t)
	require.Equal(t, map[string]int{
		"$JS.API.CONSUMER.NAMES." + schemas.StreamReplies: 1, "$JS.API.CONSUMER.NAMES." + schemas.StreamDeadLetters: 1,
	}, requested(t, e.js, func() { e.look(t.Context()) }))
	require.Equal(t, map[string]bool{"acme": true}, e.known)

	for _, tenant := range []string{"bare", "half"} {
		require.NoError(t, bus.EnsureEngine(t.Context(), e.js, tenant))
	}
	e.look(t.Context())
	require.Len(t, e.known, 3)
	require.Empty(t, requested(t, e.js, func() { e.look(t.Context()) }), "nothing is left to find")
}

// TestEngines_CreatedAgain: of the consumers that a stream took with it, those are created again that were there before.
func TestEngines_CreatedAgain(t *testing.T) {
	t.Parallel()
	e, _ := setupEngines(t)
	e.look(t.Context())
	require.NoError(t, e.js.DeleteConsumer(t.Context(), schemas.StreamReplies, "acme"))
	e.lost["acme"] = true
	e.restore(t.Context())
	require.Empty(t, e.lost)
	names, err := natsclient.LeaderOf(e.js, schemas.StreamReplies).ConsumerNames(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"acme", "half"}, names)
}

// TestEngines_CheckEndsWithoutAnswers: a server that does not answer keeps a check from its end for one timeout, however many
// tenants have lost their consumers.
func TestEngines_CheckEndsWithoutAnswers(t *testing.T) {
	t.Parallel()
	e, stop := setupEngines(t)
	var log bytes.Buffer
	e.log, e.timeout = slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond
	stop()
	for n := range 20 {
		e.lost[fmt.Sprint("tenant", n)] = true
	}
	e.restore(t.Context())
	require.Len(t, e.lost, 20, "they are left to the next check")
	require.Equal(t, 1, strings.Count(log.String(), "creating consumers of an engine failed"), log.String())
	log.Reset()
	e.look(t.Context())
	require.Equal(t, 1, strings.Count(log.String(), "looking for consumers of engines failed"), log.String())
}

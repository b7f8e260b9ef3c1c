package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/socket"
	"github.com/hookturn/hookturn/internal/step"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const soon = time.Minute // no test waits this long unless something is broken

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	return s
}

// browser keeps no connection, so that none is left when the test ends.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: soon}

func TestServer_WhatIsNotThereIsAProblem(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, c := range map[string]struct{ method, path, detail string }{
		"root":         {http.MethodGet, "/", "no such path: /"},
		"query":        {http.MethodGet, "/nothing?token=hidden", "no such path: /nothing"},
		"markup":       {http.MethodGet, "/%3Cb%3E%22", `no such path: /<b>"`},
		"not UTF-8":    {http.MethodGet, "/%ff", "no such path: /\uFFFD"},
		"other method": {http.MethodDelete, "/callback", "no such path: /callback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.Addr()+c.path, strings.NewReader("{}"))
			require.NoError(t, err)
			answer, err := browser.Do(request)
			require.NoError(t, err)
			body, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusNotFound, answer.StatusCode)
			require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
			problem := map[string]any{}
			require.NoError(t, json.Unmarshal(body, &problem))
			require.Equal(t, map[string]any{"title": "Not Found", "status": 404.0, "detail": c.detail}, problem)
		})
	}
}

func TestServer_AddressThatIsTaken(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := Start(s.Addr(), Options{Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "gateway: listen tcp "+s.Addr())
}

// held is a gateway with one request that its handler has begun and finishes when let is closed.
type held struct {
	*Server
	let    chan struct{}
	answer chan error // nil once the client has the whole answer
}

func hold(t *testing.T) held {
	t.Helper()
	h := held{let: make(chan struct{}), answer: make(chan error, 1)}
	begun := make(chan struct{})
	var err error
	h.Server, err = Options{Log: slog.New(slog.DiscardHandler)}.serve("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		select {
		case <-h.let:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	require.NoError(t, err)
	go func() {
		answer, err := browser.Get("http://" + h.Addr())
		if err == nil {
			err = answer.Body.Close()
		}
		h.answer <- err
	}()
	receive(t, begun)
	return h
}

func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(soon):
		t.Fatal("nothing happens")
	}
	return value
}

func TestStop_LetsARunningRequestFinish(t *testing.T) {
	t.Parallel()
	h := hold(t)
	stopped := make(chan error, 1)
	go func() { stopped <- h.Stop(context.Background()) }()
	requireRefused(t, h.Addr())
	require.Empty(t, stopped, "it stopped before the request was finished")
	close(h.let)
	require.NoError(t, receive(t, h.answer))
	require.NoError(t, receive(t, stopped))
}

func TestStop_CutsOffWhatOutlivesItsContext(t *testing.T) {
	t.Parallel()
	h := hold(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := h.Stop(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "gateway: requests were cut off")
	require.Error(t, receive(t, h.answer))
	requireRefused(t, h.Addr())
}

// stuckScripts run until they are released.
type stuckScripts struct{ begun, let chan struct{} }

func (s stuckScripts) Run(context.Context, *bot.Channel, string, time.Duration, func(*step.ScriptRun) error) (
	json.RawMessage, error,
) {
	close(s.begun)
	<-s.let
	return json.RawMessage(`{}`), nil
}

// TestStop_RequestsEndBesideSockets: while a call of a WebSocket runs, the gateway accepts no connection, and it does not
// wait for the call longer than it may.
func TestStop_RequestsEndBesideSockets(t *testing.T) {
	t.Parallel()
	scripts := stuckScripts{make(chan struct{}), make(chan struct{})}
	defer close(scripts.let)
	d := newTestGateway(t)
	d.Log = slog.New(slog.DiscardHandler)
	d.Sockets = &socket.Hub{Scripts: scripts, Bus: mute{}, Claims: mute{}, Log: d.Log, Count: d.Metrics}
	require.NoError(t, d.Sockets.Start())
	s, err := Start("127.0.0.1:0", d.Options)
	require.NoError(t, err)
	conn, answer, err := websocket.Dial(t.Context(), "ws://"+s.Addr()+"/ws/token/v1/"+tokenOfHook, nil)
	require.NoError(t, err)
	if answer.Body != nil {
		_ = answer.Body.Close()
	}
	defer conn.CloseNow()
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(`["start_svcscript",{"qid":1,"code":"hook"}]`)))
	receive(t, scripts.begun)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(ctx) }()
	requireRefused(t, s.Addr())
	require.Empty(t, stopped, "the call still runs")
	cancel()
	require.NoError(t, receive(t, stopped))
}

// requireRefused waits until an address refuses connections.
func requireRefused(t *testing.T, addr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, soon, 5*time.Millisecond)
}

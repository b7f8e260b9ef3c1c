package app

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestNATSClosed_ProcessIsDead closes a connection as the server does for a control line that is too long.
func TestNATSClosed_ProcessIsDead(t *testing.T) {
	t.Parallel()
	nats, f := startNATS(t), newFatal()
	p := parts{log: slog.New(slog.DiscardHandler)}
	a, err := startAdmin(Config{AdminAddr: "127.0.0.1:0", Metrics: telemetry.NewMetrics()}, &f.readiness, &p)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.stop(t.Context())) }()
	watch := &natsWatch{fail: f.fail}
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: nats.ClientURL()}, t.Name(), nil,
		natsclient.OnClosed(watch.closed))
	require.NoError(t, err)
	f.readiness.Begin((&base{js: js}).ready)
	status, _ := get(t, "http://"+a.Addr()+"/healthz")
	require.Equal(t, http.StatusOK, status)

	_, err = nc.Subscribe(strings.Repeat("x", 5000), func(*natsgo.Msg) {})
	require.NoError(t, err)
	select {
	case err := <-f.first:
		require.ErrorContains(t, err, "maximum control line exceeded")
		require.ErrorContains(t, err, "restart the process")
	case <-t.Context().Done():
		require.Fail(t, "a closed connection was not reported")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := get(t, "http://"+a.Addr()+path)
		require.Equal(t, http.StatusServiceUnavailable, status, path)
		require.Contains(t, body, "nats connection closed permanently", path)
	}
}

func TestNATSClosed_ByTheProcess(t *testing.T) {
	t.Parallel()
	nats, f, closed := startNATS(t), newFatal(), make(chan struct{})
	watch := &natsWatch{fail: f.fail}
	nc, _, err := bus.Connect(t.Context(), natsclient.Login{URL: nats.ClientURL()}, t.Name(), nil, natsclient.OnClosed(func(reason error) {
		watch.closed(reason)
		close(closed)
	}))
	require.NoError(t, err)
	require.NoError(t, watch.close(nc)(t.Context()))
	<-closed
	require.Empty(t, f.first)
	require.NoError(t, f.readiness.Alive())
}

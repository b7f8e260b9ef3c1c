package servers_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/schemas"
)

func TestServers_StateSurvivesRestart(t *testing.T) {
	t.Parallel()
	temporalDir, natsDir := filepath.Join(t.TempDir(), "temporal"), filepath.Join(t.TempDir(), "nats")

	srv := startTemporal(t, servers.TemporalOptions{DataDir: temporalDir})
	bus := startNATS(t, servers.NATSOptions{DataDir: natsDir})
	ui := startUI(t, "", srv.Addr())
	c := dial(t, srv.Addr())
	require.Equal(t, "hello shop", runHello(t, c, "greeting", "shop"))
	requireFound(t, srv, `HookturnBot = "shop"`, 1)
	requireUIShows(t, ui, "greeting")
	c.Close()
	js, conn := connect(t, bus.URL())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	require.NoError(t, err)
	largest := []byte(strings.Repeat("x", schemas.MessageMax))
	_, err = js.Publish(t.Context(), "s.1", largest)
	require.NoError(t, err)
	conn.Close()

	ui.Stop()
	srv.Stop()
	bus.Stop()
	requireFree(t, ui.Addr(), srv.Addr(), bus.Addr())

	again := startTemporal(t, servers.TemporalOptions{DataDir: temporalDir, FrontendAddr: srv.Addr()})
	require.Equal(t, srv.Addr(), again.Addr())
	busAgain := startNATS(t, servers.NATSOptions{DataDir: natsDir, Addr: bus.Addr()})
	require.Equal(t, bus.URL(), busAgain.URL())
	uiAgain := startUI(t, ui.Addr(), again.Addr())
	require.Equal(t, ui.URL(), uiAgain.URL())
	c = dial(t, again.Addr())
	defer c.Close()
	require.Equal(t, "hello shop", helloResult(t, c, "greeting", ""))
	require.Equal(t, "hello once more", runHello(t, c, "second", "once more"))
	requireFound(t, again, `HookturnBot = "shop"`, 1)
	requireUIShows(t, uiAgain, "greeting")
	js, conn = connect(t, busAgain.URL())
	defer conn.Close()
	stream, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(), "s.1")
	require.NoError(t, err)
	require.Len(t, msg.Data, len(largest))
}

func TestServers_SideBySide(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startTemporal(t, servers.TemporalOptions{})
			bus := startNATS(t, servers.NATSOptions{})
			c := dial(t, srv.Addr())
			defer c.Close()
			require.Equal(t, "hello "+name, runHello(t, c, "same id", name))
			requireFound(t, srv, `WorkflowId = "same id"`, 1)
			js, conn := connect(t, bus.URL())
			defer conn.Close()
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
			require.NoError(t, err)
			ack, err := js.Publish(t.Context(), "s.1", []byte(name))
			require.NoError(t, err)
			require.EqualValues(t, 1, ack.Sequence)
		})
	}
}

func TestStart_InvalidOptions(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	start := map[string]func(addr, dir string) error{
		"temporal": func(addr, dir string) error {
			_, err := servers.StartTemporal(t.Context(), servers.TemporalOptions{FrontendAddr: addr, DataDir: dir})
			return err
		},
		"nats": func(addr, dir string) error {
			_, err := servers.StartNATS(t.Context(), servers.NATSOptions{Addr: addr, DataDir: dir})
			return err
		},
	}
	for name, start := range start {
		require.ErrorContains(t, start(taken.Addr().String(), t.TempDir()), "address already in use", name)
		require.ErrorContains(t, start("0.0.0.0:0", t.TempDir()), "loopback", name)
		require.ErrorContains(t, start("", file), "not a directory", name)
	}
	_, err = servers.StartUI(t.Context(), taken.Addr().String(), "127.0.0.1:1")
	require.ErrorContains(t, err, "address already in use")
	_, err = servers.StartTemporal(t.Context(), servers.TemporalOptions{DataDir: filepath.Join(t.TempDir(), "50%")})
	require.ErrorContains(t, err, "SQLite")
}

// requireFound waits until the visibility store knows the number of workflows that the query asks for.
func requireFound(t *testing.T, srv *servers.Temporal, query string, want int64) {
	t.Helper()
	c := dial(t, srv.Addr())
	defer c.Close()
	require.Eventually(t, func() bool {
		found, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		return err == nil && found.GetCount() == want
	}, patience, interval)
}

// requireUIShows checks that the UI serves its page and passes questions on to Temporal.
func requireUIShows(t *testing.T, ui *servers.UI, workflowID string) {
	t.Helper()
	status, page := get(t, ui.URL()+"/namespaces/default/workflows")
	require.Equal(t, 200, status)
	require.Contains(t, page, "<html")
	require.Contains(t, page, "/_app/")
	require.Eventually(t, func() bool {
		status, list, err := tryGet(t.Context(), ui.URL()+"/api/v1/namespaces/default/workflows")
		return err == nil && status == 200 && strings.Contains(list, workflowID)
	}, patience, interval)
}

// requireFree checks that the addresses are not in use.
func requireFree(t *testing.T, addrs ...string) {
	t.Helper()
	for _, addr := range addrs {
		listener, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

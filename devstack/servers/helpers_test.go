package servers_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/internal/leaktest"
)

const (
	taskQueue = "hello"
	patience  = time.Minute
	interval  = 20 * time.Millisecond
)

// TestMain finds goroutines that the servers leave behind. The ignored ones are those that the package comment owns up
// to: the connections that the Temporal server and its UI never close.
func TestMain(m *testing.M) {
	leaktest.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).resetTransportAndUnlock"),
	)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testLog passes a server's warnings to the test's log.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func startTemporal(t *testing.T, opts servers.TemporalOptions) *servers.Temporal {
	t.Helper()
	opts.Logger = testLog(t)
	began := time.Now()
	srv, err := servers.StartTemporal(t.Context(), opts)
	require.NoError(t, err)
	t.Logf("temporal ready after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(srv.Stop)
	return srv
}

func startNATS(t *testing.T, opts servers.NATSOptions) *servers.NATS {
	t.Helper()
	opts.Logger = testLog(t)
	began := time.Now()
	srv, err := servers.StartNATS(t.Context(), opts)
	require.NoError(t, err)
	t.Logf("nats ready after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(srv.Stop)
	return srv
}

func startUI(t *testing.T, addr, temporalAddr string) *servers.UI {
	t.Helper()
	began := time.Now()
	srv, err := servers.StartUI(t.Context(), addr, temporalAddr)
	require.NoError(t, err)
	t.Logf("ui ready after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(srv.Stop)
	return srv
}

func hello(_ workflow.Context, name string) (string, error) { return "hello " + name, nil }

// runHello runs one workflow on a separate worker and returns its result.
func runHello(t *testing.T, c client.Client, id, name string) string {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(hello, workflow.RegisterOptions{Name: "Hello"})
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword("HookturnBot").ValueSet(name)),
	}, "Hello", name)
	require.NoError(t, err)
	return helloResult(t, c, id, run.GetRunID())
}

func helloResult(t *testing.T, c client.Client, id, runID string) string {
	t.Helper()
	var result string
	require.NoError(t, c.GetWorkflow(t.Context(), id, runID).Get(t.Context(), &result))
	return result
}

func dial(t *testing.T, addr string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: addr, Logger: quiet()})
	require.NoError(t, err)
	return c
}

func connect(t *testing.T, url string) (jetstream.JetStream, *nats.Conn) {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js, conn
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	status, body, err := tryGet(t.Context(), url)
	require.NoError(t, err)
	return status, body
}

// tryGet is get for a condition that is polled, in which a failed call means not yet.
func tryGet(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, string(text), err
}

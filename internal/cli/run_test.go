package cli_test

import (
	"net"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
)

// process is a program that runs until it is stopped.
type process struct {
	command func() *cobra.Command
	args    []string
	name    string
}

func processes() map[string]process {
	return map[string]process{
		"worker":      {cli.WorkerCommand, nil, "worker"},
		"starter":     {cli.StarterCommand, nil, "starter"},
		"starter run": {cli.StarterCommand, []string{"run"}, "starter"},
	}
}

func eachProcess(t *testing.T, test func(t *testing.T, p process)) {
	t.Helper()
	for name, p := range processes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// unreachableAddr returns the address of a listener that closes every connection, like a server that does not run.
func unreachableAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestRun_WithoutBots(t *testing.T) {
	t.Parallel()
	eachProcess(t, func(t *testing.T, p process) {
		t.Helper()
		w := &world{}
		require.Equal(t, 1, w.run(testContext(t), p.command(), p.args...))
		require.Equal(t, p.name+": missing directory of bot files: set --bots or HOOKTURN_BOTS\n", w.err.String())
		require.Empty(t, w.out.String())
	})
}

func TestRun_PrintsEveryProblemOfItsBotFiles(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": badBot, "inside.yaml": insideBot})
	eachProcess(t, func(t *testing.T, p process) {
		t.Helper()
		w := &world{env: map[string]string{"HOOKTURN_NATS_URL": "nats://" + unreachableAddr(t)}}
		require.Equal(t, 1, w.run(testContext(t), p.command(), append(p.args, "--bots", dir, "--bad-bots", "refuse")...))
		for _, want := range []string{
			p.name + ": bot files in " + dir + ":\n", "inside.yaml:4:33: ", "\nshop.yaml:2:1: $.colour: unknown key\n",
			"\nshop.yaml:4:51: $.steps.ORDER.webhook.timeout: ",
		} {
			require.Contains(t, w.err.String(), want)
		}
	})
}

func TestRun_StopsWhileItWaitsForNATS(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"inside.yaml": insideBot})
	eachProcess(t, func(t *testing.T, p process) {
		t.Helper()
		addr := unreachableAddr(t)
		w := &world{env: map[string]string{"HOOKTURN_BOTS": dir, "HOOKTURN_EGRESS_ALLOW": "10.0.0.0/8"}}
		stop := beside(t, w, p.command(), append(p.args, "--nats-url", "nats://"+addr, "--log-format", "json")...)
		require.Eventually(t, func() bool {
			return strings.Contains(w.err.String(), `"msg":"connecting to nats failed, will retry"`)
		}, soon, poll)
		require.Equal(t, 1, stop())
		require.Contains(t, w.err.String(), p.name+": connect to nats at nats://"+addr+": context canceled")
	})
}

func TestWorker_UnknownTaskQueue(t *testing.T) {
	t.Parallel()
	w := &world{}
	require.Equal(t, 1, w.run(testContext(t), cli.WorkerCommand(), "--bots", t.TempDir(), "--task-queues", "hookturn,other"))
	require.Equal(t, "worker: unknown task queue other: use hookturn or hookturn-code\n", w.err.String())
}

// TestTools_MissingStreams: a tool on a server without streams reports what to do, and neither waits nor creates them.
func TestTools_MissingStreams(t *testing.T) {
	t.Parallel()
	n := startBareNATS(t)
	for name, args := range map[string][]string{
		"send":               {"send", "--bot", "shop", "-"},
		"send and wait":      {"send", "--bot", "shop", "-", "--wait", "1h"},
		"tail":               {"tail"},
		"deadletters list":   {"deadletters", "list"},
		"deadletters replay": {"deadletters", "replay", "1", "--yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := fail(t, &world{env: n.at(), in: event("e-1")}, args...)
			require.Contains(t, said, "stream HOOKTURN_EVENTS")
			require.Contains(t, said, `run "starter setup" once`)
		})
	}
}

func TestTools_StopWhileTheyWaitForNATS(t *testing.T) {
	t.Parallel()
	w := &world{in: event("e-1"), env: map[string]string{"HOOKTURN_NATS_URL": "nats://user:hidden@" + unreachableAddr(t)}}
	stop := beside(t, w, cli.StarterCommand(), "send", "--bot", "shop", "-", "--connect-timeout", "1h")
	require.Eventually(t, func() bool { return strings.Contains(w.err.String(), "connecting to nats failed") }, soon, poll)
	require.Equal(t, 1, stop())
	require.NotContains(t, w.err.String(), "hidden")
}

// TestRun_InvalidTemporalConfiguration sets variables of the process, because Temporal's package reads them itself.
func TestRun_InvalidTemporalConfiguration(t *testing.T) {
	t.Setenv("TEMPORAL_CONFIG_FILE", directory(t, map[string]string{"temporal.toml": "[profile.default]\n"})+"/temporal.toml")
	t.Setenv("TEMPORAL_PROFILE", "absent")
	for name, p := range processes() {
		w := &world{}
		require.Equal(t, 2, w.run(testContext(t), p.command(), append(p.args, "--bots", t.TempDir())...), name)
		require.Contains(t, w.err.String(), "absent", name)
	}
	require.Contains(t, fail(t, &world{}, "setup"), "absent")
}

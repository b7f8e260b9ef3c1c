package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

const (
	soon = time.Minute // no test waits this long unless something is broken
	poll = 5 * time.Millisecond
)

const goodBot = `bot: shop
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders}}}
`

func botDir(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(content), 0o600))
	return dir
}

func startNATS(t *testing.T) *server.Server {
	t.Helper()
	return natstest.Start(t)
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

// logText is a log that a test reads while it is written.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

// processes start what hookturn runs, whichever it is.
func processes() map[string]func(context.Context, Config) error {
	return map[string]func(context.Context, Config) error{
		"worker": func(ctx context.Context, cfg Config) error {
			w, err := StartWorker(ctx, cfg)
			if err == nil {
				err = errors.Join(errors.New("it started"), w.Stop(ctx))
			}
			return err
		},
		"starter": func(ctx context.Context, cfg Config) error {
			s, err := StartStarter(ctx, cfg)
			if err == nil {
				err = errors.Join(errors.New("it started"), s.Stop(ctx))
			}
			return err
		},
	}
}

// requireGivesUp starts a process, waits for a line in its log, and stops it.
func requireGivesUp(t *testing.T, start func(context.Context, Config) error, cfg Config, line string) error {
	t.Helper()
	log := &logText{}
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- start(ctx, cfg) }()
	require.Eventually(t, func() bool { return log.has(line) }, soon, poll, "the log does not say what it waits for")
	require.Empty(t, ended, "it gave up before it was asked to")
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
		return err
	case <-time.After(soon):
		t.Fatal("the process does not end")
		return nil
	}
}

func TestStart_BadBotFilesHeld(t *testing.T) {
	t.Parallel()
	for name, start := range processes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := botDir(t, "bot: shop\ncolour: red\n")
			_ = requireGivesUp(t, start, Config{Bots: dir, NATSURL: "nats://" + unreachableAddr(t)}, "bad_files=1")
		})
	}
}

func TestStart_BadBotFilesRefused(t *testing.T) {
	t.Parallel()
	for name, start := range processes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := botDir(t, "bot: shop\ncolour: red\nsteps: {ORDER: {webhook: {path: /orders, timeout: soon}}}\n")
			err := start(t.Context(), Config{Bots: dir, NATSURL: "nats://" + unreachableAddr(t), BadBots: BadBotsRefuse})
			require.ErrorContains(t, err, "bot files in "+dir)
			require.ErrorContains(t, err, "shop.yaml:2:1: $.colour")
			require.ErrorContains(t, err, "$.steps.ORDER.webhook.timeout")
		})
	}
}

func TestStart_ProcessWaitsForNATSUntilItIsStopped(t *testing.T) {
	t.Parallel()
	for name, start := range processes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := unreachableAddr(t)
			cfg := Config{Bots: botDir(t, goodBot), NATSURL: "nats://user:hidden@" + addr}
			err := requireGivesUp(t, start, cfg, "connecting to nats failed, will retry")
			require.ErrorContains(t, err, "connect to nats at nats://"+addr)
			require.NotContains(t, err.Error(), "hidden")
		})
	}
}

func TestStart_ProcessWaitsForTemporalUntilItIsStopped(t *testing.T) {
	t.Parallel()
	for name, start := range processes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats, addr := startNATS(t), unreachableAddr(t)
			cfg := Config{Bots: botDir(t, goodBot), NATSURL: nats.ClientURL(), Temporal: client.Options{HostPort: addr}}
			err := requireGivesUp(t, start, cfg, "connecting to Temporal failed, will retry")
			require.ErrorContains(t, err, "connect to Temporal at "+addr)
			require.Eventually(t, func() bool { return nats.NumClients() == 0 }, soon, poll, "NATS is still connected")
		})
	}
}

func TestStart_SetupMakesTheStreamsBeforeItAsksTemporal(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	cfg := Config{NATSURL: nats.ClientURL(), Partitions: 3, Temporal: client.Options{HostPort: unreachableAddr(t)}}
	setup := func(ctx context.Context, cfg Config) error {
		return Setup(ctx, cfg, schemas.AuditActor{Name: "ann", Via: "cli"})
	}
	requireGivesUp(t, setup, cfg, "connecting to Temporal failed, will retry")
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: nats.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 7})
	require.NoError(t, err)
	require.Equal(t, 3, streams.Partitions, "the stream that is there stays as it is")
	var results []schemas.AuditResult
	require.NoError(t, bus.ReadAudit(t.Context(), streams, bus.AuditFilter{Action: schemas.AuditSetup}, func(e schemas.AuditEvent) bool {
		results = append(results, e.Data.Result)
		return true
	}))
	require.Equal(t, []schemas.AuditResult{schemas.AuditRequested, schemas.AuditFailed}, results, "the setup that was given up, too")
}

func TestStart_ReadyNamesWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: nats.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	temporal := mocks.NewClient(t)
	b := &base{js: js, temporal: temporal}
	require.ErrorContains(t, b.ready(t.Context()), "check JetStream: stream HOOKTURN_EVENTS")

	_, err = bus.Setup(t.Context(), js, bus.StreamOptions{})
	require.NoError(t, err)
	health := temporal.On("CheckHealth", mock.Anything, mock.Anything).Return(nil, errors.New("unavailable"))
	require.EqualError(t, b.ready(t.Context()), "check Temporal: unavailable")
	health.Unset()
	temporal.On("CheckHealth", mock.Anything, mock.Anything).Return(&client.CheckHealthResponse{}, nil)
	require.NoError(t, b.ready(t.Context()))

	watch := &natsWatch{}
	require.NoError(t, watch.close(nc)(t.Context()))
	require.ErrorContains(t, b.ready(t.Context()), "check JetStream")
	require.NoError(t, watch.close(nc)(t.Context()), "a lost connection has nothing to flush")
}

func TestStart_SDKsFiguresStandBesideOurs(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	handler, err := sdkMetrics(m)
	require.NoError(t, err)
	handler.WithTags(map[string]string{"operation": "StartWorkflow"}).Counter("temporal_request").Inc(2)
	families, err := m.Registry().Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	require.Contains(t, strings.Join(names, " "), "temporal_request")
	require.Contains(t, names, "hookturn_events_taken_over_total")
}

func TestBotFiles_MayNameOnlyWhatTheOperatorAllows(t *testing.T) {
	t.Parallel()
	check := func(cfg Config, url string) error {
		o, err := BotOptions(cfg)
		require.NoError(t, err)
		return o.CheckURL(url)
	}
	public := Config{}
	require.NoError(t, check(public, "https://shop.example/orders"))
	require.Error(t, check(public, "https://10.1.2.3/orders"))
	require.Error(t, check(public, "http://shop.example/orders"), "plain http to the public internet")
	require.Error(t, check(public, "http://127.0.0.1:8090/orders"))

	office := Config{EgressAllow: []string{"10.0.0.0/8"}}
	require.NoError(t, check(office, "https://10.1.2.3/orders"))
	require.NoError(t, check(office, "http://10.1.2.3/orders"), "plain http is allowed where the list leads")
	require.Error(t, check(office, "https://192.168.1.1/orders"))

	require.NoError(t, check(Config{EgressDevelopment: true}, "http://127.0.0.1:8090/orders"))

	_, err := BotOptions(Config{EgressAllow: []string{"https://shop.example"}})
	require.ErrorContains(t, err, `check --egress-allow or HOOKTURN_EGRESS_ALLOW: egress: allow entry "https://shop.example"`)
}
